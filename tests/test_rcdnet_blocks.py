import pytest
import torch
from torch import nn

from rcdnet.blocks import Cbam, ChannelAttention, SeparableConv, SpatialAttention


def test_separable_convolution_is_one_filter_a_channel_then_a_mix() -> None:
    torch.manual_seed(0)
    block = SeparableConv(6, 4).eval()
    depthwise, _, _, pointwise, *_ = block
    x = torch.randn(2, 6, 9, 7)
    by_channel = torch.cat(
        [
            nn.functional.conv2d(x[:, c : c + 1], depthwise.weight[c : c + 1], padding=1)  # type: ignore[index, arg-type]
            for c in range(6)
        ],
        1,
    )
    mixed = torch.einsum("nchw,kc->nkhw", (by_channel / (1 + 1e-5) ** 0.5).clamp(0, 6), pointwise.weight[:, :, 0, 0])  # type: ignore[index]
    torch.testing.assert_close(block(x), (mixed / (1 + 1e-5) ** 0.5).clamp(0, 6))


def test_channel_attention_is_equation_2() -> None:
    torch.manual_seed(0)
    block = ChannelAttention(16).eval()
    x = torch.randn(3, 16, 5, 4)
    mean = nn.AdaptiveAvgPool2d(1)(x)
    peak = nn.AdaptiveMaxPool2d(1)(x)
    torch.testing.assert_close(block(x), x * torch.sigmoid(block.mlp(mean) + block.mlp(peak)))


def test_spatial_attention_is_equation_3() -> None:
    torch.manual_seed(0)
    block = SpatialAttention().eval()
    x = torch.randn(3, 16, 5, 4)
    both = torch.stack([x.mean(1), x.max(1).values], 1)
    torch.testing.assert_close(block(x), x * torch.sigmoid(block.conv(both)))


@pytest.mark.parametrize("size", [(1, 1), (3, 14), (14, 3)])
def test_attention_keeps_the_shape_and_never_amplifies(size: tuple[int, int]) -> None:
    x = torch.randn(2, 32, *size)
    found = Cbam(32).eval()(x)
    assert found.shape == x.shape
    assert (found.abs() <= x.abs()).all()
