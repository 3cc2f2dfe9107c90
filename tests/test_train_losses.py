import pytest
import torch

from train.losses import pointing_loss


def maps_and_lesion():
    lesion = torch.zeros(1, 4, 4)
    lesion[0, 1, 1:3] = 1
    return torch.zeros(1, 2, 4, 4), lesion


def test_pointing_falls_when_the_right_class_rises_inside_the_lesion():
    maps, lesion = maps_and_lesion()
    labels = torch.tensor([1])
    flat = pointing_loss(maps, labels, lesion)
    maps[0, 1] = 5 * lesion[0]
    assert float(pointing_loss(maps, labels, lesion)) < float(flat)


def test_pointing_ignores_the_level_of_the_map():
    maps, lesion = maps_and_lesion()
    labels = torch.tensor([1])
    maps[0, 1, 2, 2] = 3.0
    assert float(pointing_loss(maps, labels, lesion)) == pytest.approx(
        float(pointing_loss(maps + 7, labels, lesion)), abs=1e-5
    )


def test_perfect_pointing_costs_nothing():
    maps, lesion = maps_and_lesion()
    maps[0, 0] = 50 * lesion[0]
    assert float(pointing_loss(maps, torch.tensor([0]), lesion)) == pytest.approx(0, abs=1e-4)


def test_pictures_without_a_lesion_do_not_count():
    maps, lesion = maps_and_lesion()
    assert float(pointing_loss(maps, torch.tensor([0]), torch.zeros_like(lesion))) == 0
    maps[0, 0, 0, 0] = 3.0
    twice = pointing_loss(maps.repeat(2, 1, 1, 1), torch.tensor([0, 0]), torch.cat([lesion, torch.zeros_like(lesion)]))
    torch.testing.assert_close(twice, pointing_loss(maps, torch.tensor([0]), lesion))
