"""Which weights of a network learn, how far in each step, and in which precision?"""

import math
from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from rcdnet.model import Network
from train.recipes import Recipe, RecipeError


def freeze(model: Network, recipe: Recipe) -> None:
    """Freeze what the recipe asks for. Raises RecipeError if the stages of this backbone are not known."""
    if recipe.frozen_stages:
        if not hasattr(model.backbone, "conv_stem"):  # EfficientNets and MobileNets have it, and ``blocks``
            raise RecipeError(
                f"{recipe.name}: which stages of {recipe.backbone} come first is not known: --set frozen_stages=0"
            )
        frozen = [model.backbone.conv_stem, *model.backbone.blocks[: recipe.frozen_stages]]
        for parameter in (p for module in frozen for p in module.parameters()):
            parameter.requires_grad_(False)
    if recipe.frozen_large_filters:
        for convolution in _depthwise(model.backbone):
            convolution.weight.requires_grad_(convolution.kernel_size == (3, 3) and convolution.weight.requires_grad)


def make_optimizer(model: Network, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimizer, with a learning rate for the head (all but the backbone) and one for what is not frozen
    of the backbone."""
    of_backbone = {id(parameter) for parameter in model.backbone.parameters()}
    head = [parameter for parameter in model.parameters() if id(parameter) not in of_backbone]
    body = [parameter for parameter in model.backbone.parameters() if parameter.requires_grad]
    groups = [{"params": head, "lr": recipe.lr_head}, {"params": body, "lr": recipe.lr_body}]
    optimizer = torch.optim.AdamW if recipe.optimizer == "adamw" else torch.optim.Adam
    return optimizer(groups, weight_decay=recipe.weight_decay)


def warmup_cosine(optimizer: torch.optim.Optimizer, recipe: Recipe, steps_per_epoch: int) -> LambdaLR:
    """The schedule of the learning rates: a linear warm-up, then half a cosine to zero (Loshchilov and Hutter 2017,
    arXiv:1608.03983, without restarts)."""
    warm, total = recipe.warmup_epochs * steps_per_epoch, recipe.epochs * steps_per_epoch

    def factor(step: int) -> float:
        if step < warm:
            return (step + 1) / (warm + 1)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warm) / max(1.0, total - warm))))

    return LambdaLR(optimizer, factor)


def keep_slow_layers_in_float32(model: nn.Module) -> None:
    """Let those depthwise convolutions compute in float32 under autocast whose backward pass is slow in bfloat16 on a
    CPU: with torch 2.15 the gradient of the weights takes 3 times as long, that of a strided one's input 7 to 80 times.
    """
    for convolution in _depthwise(model):
        if convolution.weight.requires_grad or convolution.stride != (1, 1):
            convolution.forward = partial(_in_float32, convolution.forward)  # type: ignore[method-assign]


def _in_float32(forward: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    with torch.autocast(x.device.type, enabled=False):
        return forward(x.float())


def _depthwise(model: nn.Module) -> Iterator[nn.Conv2d]:
    return (m for m in model.modules() if isinstance(m, nn.Conv2d) and m.groups == m.in_channels > 1)
