"""The two blocks that RcdNet adds to an EfficientNet: a depthwise separable convolution and CBAM."""

import torch
from torch import Tensor, nn


class SeparableConv(nn.Sequential):
    """Depthwise 3x3, then pointwise 1x1 (Chollet 2017, arXiv:1610.02357), each with batch norm and ReLU6.

    [N, in_channels, h, w] -> [N, out_channels, h, w].
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(
            nn.Conv2d(in_channels, in_channels, 3, padding=1, groups=in_channels, bias=False),
            nn.BatchNorm2d(in_channels),
            nn.ReLU6(inplace=True),
            nn.Conv2d(in_channels, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU6(inplace=True),
        )


class ChannelAttention(nn.Module):
    """Which channels matter: sigmoid(MLP(mean over space) + MLP(max over space)), CBAM equation 2. Shape kept."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        hidden = max(8, channels // reduction)
        self.mlp = nn.Sequential(nn.Conv2d(channels, hidden, 1), nn.ReLU(inplace=True), nn.Conv2d(hidden, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, h, w] -> [N, C, h, w]."""
        # amax, not AdaptiveMaxPool2d: the latter has no TensorRT converter
        mean, peak = x.mean(dim=(2, 3), keepdim=True), x.amax(dim=(2, 3), keepdim=True)
        scale: Tensor = torch.sigmoid(self.mlp(mean) + self.mlp(peak))
        return x * scale


class SpatialAttention(nn.Module):
    """Which places matter: sigmoid(7x7 convolution over [mean, max] of the channels), CBAM equation 3. Shape kept."""

    def __init__(self, kernel: int = 7) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, kernel, padding=kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, h, w] -> [N, C, h, w]."""
        scale: Tensor = torch.sigmoid(self.conv(torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)))
        return x * scale


class Cbam(nn.Sequential):
    """Convolutional block attention module (Woo et al. 2018, arXiv:1807.06521): channels first, then places."""

    def __init__(self, channels: int) -> None:
        super().__init__(ChannelAttention(channels), SpatialAttention())
