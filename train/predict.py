"""A torch network over many pictures, judged exactly as the live path judges one."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track

from rcdnet.glance import Judgement, Run, judge_batch
from rcdnet.model import Network

BATCH = 32


def runner(model: Network) -> Run:
    """``model`` as ``rcdnet.glance`` wants it: uint8 arrays in, float32 arrays out, on the model's own device."""
    device = next(model.parameters()).device

    @torch.inference_mode()
    def run(images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        logits, maps = model(torch.from_numpy(images).to(device))
        return logits.float().cpu().numpy(), maps.float().cpu().numpy()

    return run


def predict(model: Network, greys: Sequence[NDArray[np.uint8]]) -> list[Judgement]:
    """One Judgement a picture. ``model`` is put in evaluation mode."""
    model.eval()
    run = runner(model)
    starts = track(range(0, len(greys), BATCH), description="judging", transient=True)
    return [j for start in starts for j in judge_batch(greys[start : start + BATCH], model.spec, run)]
