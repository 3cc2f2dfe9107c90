import csv
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from train import datasets
from train.datasets import Sample
from train.duplicates import bootstrap_groups, conflicts, connected_components, find_pairs, groups_of


def scan(seed: int, shape: tuple[int, int] = (240, 320)) -> np.ndarray:
    """Smooth random tissue with one dark blob; different seeds are different views."""
    random = np.random.default_rng(seed)
    tissue = cv2.resize(random.uniform(0, 255, (10, 12)).astype(np.float32), shape[::-1], interpolation=cv2.INTER_CUBIC)
    picture = np.clip(tissue + random.normal(0, 8, shape), 0, 255).astype(np.uint8)
    cv2.ellipse(picture, (int(random.integers(60, 260)), 120), (40, 25), 0, 0, 360, 20, -1)
    return picture


def callipers(picture: np.ndarray) -> np.ndarray:
    marked = picture.copy()
    for point in ((100, 100), (180, 140)):
        cv2.drawMarker(marked, point, 255, cv2.MARKER_CROSS, 10, 1)
    cv2.putText(marked, "RT 3", (20, 225), cv2.FONT_HERSHEY_PLAIN, 1, 255)
    return marked


def test_different_views_are_no_pair():
    assert find_pairs([scan(seed) for seed in range(12)]) == []


@pytest.mark.parametrize(
    "copied",
    [
        callipers,
        lambda picture: cv2.imdecode(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 40])[1], 0),
        lambda picture: cv2.resize(picture, (200, 150), interpolation=cv2.INTER_AREA),
        lambda picture: np.clip(picture * 0.8 + 10, 0, 255).astype(np.uint8),
    ],
    ids=["callipers", "jpeg", "smaller", "gain"],
)
def test_a_copy_is_found_whatever_was_done_to_it(copied):
    (pair,) = find_pairs([scan(0), scan(1), copied(scan(0))])
    assert (pair.first, pair.second, pair.exact, pair.mirrored) == (0, 2, False, False)


def test_a_mirrored_copy_is_found_and_said_to_be_one():
    (pair,) = find_pairs([scan(0), scan(1), np.ascontiguousarray(scan(1)[:, ::-1])])
    assert (pair.first, pair.second, pair.exact, pair.mirrored) == (1, 2, False, True)


def test_identical_pixels_are_exact():
    (pair,) = find_pairs([scan(3), scan(3)])
    assert pair.exact
    assert pair.correlation == pytest.approx(1)


def test_blank_pictures_break_nothing():
    assert all(pair.exact for pair in find_pairs([np.zeros((40, 50), np.uint8)] * 2))


def test_near_copies_and_patients_are_drawn_together(tmp_path):
    copied = {"c": callipers(scan(0)), "d": callipers(scan(2))}  # of "a", of a picture whose patient is named
    views = {"a": scan(0), "b": scan(1), **copied, "e": scan(2), "f": scan(3)}
    for name, picture in views.items():
        cv2.imwrite(str(tmp_path / f"{name}.png"), picture)
    patients = dict.fromkeys(views) | {"e": "7", "f": "7"}
    samples = [Sample("set", name, tmp_path / f"{name}.png", (), "benign", patients[name]) for name in views]
    assert bootstrap_groups(samples) == ["a", "b", "a", "7", "7", "7"]


def test_groups_are_joined_through_others():
    pairs = find_pairs([scan(0), scan(5), callipers(scan(0)), scan(0)])
    numbers = connected_components(4, [(pair.first, pair.second) for pair in pairs if pair.first == 0])
    assert numbers[0] == numbers[2] == numbers[3] != numbers[1]


def test_two_groups_that_a_third_picture_joins_become_one():
    numbers = connected_components(5, [(0, 1), (2, 3), (1, 3)])
    assert len(set(numbers[:4])) == 1
    assert numbers[4] != numbers[0]


def test_a_view_whose_cut_was_shifted_is_a_copy():
    (pair,) = find_pairs([scan(2), scan(1), np.ascontiguousarray(scan(2)[:, 16:])])
    assert (pair.first, pair.second) == (0, 2)
    assert pair.correlation < 0.9


def on_disk(
    folder: Path, name: str, picture: np.ndarray, label: str, patient: str | None = None, dataset: str = "set"
) -> Sample:
    path = folder / f"{name}.png"
    assert cv2.imwrite(str(path), picture)
    return Sample(dataset, name, path, (), label, patient=patient)


def test_a_copy_under_another_label_is_a_conflict(tmp_path):
    samples = [
        on_disk(tmp_path, "a", scan(0), "benign"),
        on_disk(tmp_path, "b", callipers(scan(0)), "malignant"),
        on_disk(tmp_path, "c", scan(1), "benign"),
        on_disk(tmp_path, "d", callipers(scan(1)), "benign"),
    ]
    assert conflicts(samples, groups_of(samples)) == [samples[:2]]


def test_pictures_of_one_patient_share_a_group_and_their_labels_may_differ(tmp_path):
    samples = [
        on_disk(tmp_path, "left", scan(0), "benign", "7"),
        on_disk(tmp_path, "other", scan(1), "benign", "8"),
        on_disk(tmp_path, "right", scan(2), "malignant", "7"),
    ]
    groups = groups_of(samples)
    assert groups[samples[0]] == groups[samples[2]] != groups[samples[1]]
    assert conflicts(samples, groups) == []


def test_copies_share_a_group_across_data_sets_and_patients_of_one_name_do_not(tmp_path):
    first = on_disk(tmp_path, "a", scan(0), "benign", "7")
    copy = on_disk(tmp_path, "b", scan(0), "benign", "8", dataset="other")
    namesake = on_disk(tmp_path, "c", scan(1), "benign", "7", dataset="other")
    groups = groups_of([first, copy, namesake])
    assert groups[first] == groups[copy] != groups[namesake]


def test_a_copy_under_another_label_is_a_conflict_also_between_patients_of_one_name(tmp_path):
    first = on_disk(tmp_path, "a", scan(0), "benign", "7")
    copy = on_disk(tmp_path, "b", scan(0), "malignant", "7", dataset="other")
    samples = [first, copy]
    assert conflicts(samples, groups_of(samples)) == [samples]


def test_all_pictures_of_a_patient_share_a_group_however_many(tmp_path):
    samples = [on_disk(tmp_path, str(seed), scan(seed), "benign", "7") for seed in range(4)]
    assert len(set(groups_of(samples).values())) == 1


def test_busi_agrees_with_the_published_groups(shared_data):
    samples = datasets.load(shared_data / "busi")
    pairs = find_pairs([sample.grey() for sample in samples])
    numbers = connected_components(len(samples), [(pair.first, pair.second) for pair in pairs])
    by_name = dict(zip((s.name for s in samples), numbers, strict=True))
    published: dict[str, list[str]] = {}
    with (shared_data / "lists" / "near_duplicate_groups.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            if row["dataset"] == "busi":
                published.setdefault(row["group"], []).append(Path(row["file"]).stem)
    assert [names for names in published.values() if len({by_name[name] for name in names}) > 1] == []
    assert 120 <= sum(size > 1 for size in Counter(numbers).values()) <= 150
    exact = {frozenset((samples[p.first].name, samples[p.second].name)) for p in pairs if p.exact}
    assert frozenset(("benign (433)", "malignant (145)")) in exact
