"""Let a PyTorch network judge many pictures, exactly as the live path judges each."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track

from rcdnet.glance import Judgement, RunNetwork, judge_batch
from rcdnet.model import Network
from rcdnet.preprocess import Grey

BATCH = 32

Judge = Callable[[Sequence[Grey]], list[Judgement]]
"""A network with its spec, as a function: a Judgement of each picture (``predict``)."""


def runner(model: Network) -> RunNetwork:
    """``model`` as the function that ``rcdnet.glance`` takes: uint8 arrays in, float32 arrays out, computed on the
    device of the model."""
    device = next(model.parameters()).device

    @torch.inference_mode()
    def run(images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        logits, maps = model(torch.from_numpy(images).to(device))
        return logits.float().cpu().numpy(), maps.float().cpu().numpy()

    return run


def predict(model: Network, greys: Sequence[Grey]) -> list[Judgement]:
    """A Judgement for each picture uint8 [H, W] of any size. Puts ``model`` into evaluation mode."""
    model.eval()
    run = runner(model)
    judgements = []
    for start in track(range(0, len(greys), BATCH), description="judging", transient=True):
        judgements += judge_batch(greys[start : start + BATCH], model.spec, run)
    return judgements
