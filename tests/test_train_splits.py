import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from train import datasets, recipes, splits
from train.datasets import Sample
from train.duplicates import groups_of
from train.errors import DataError, LeakError
from train.plan import plan


def sample(number: int, label: str = "benign", **others: object) -> Sample:
    return replace(Sample("set", f"p{number}", Path(f"p{number}.png"), (), label), **others)


def hundred() -> tuple[list[Sample], dict[Sample, str]]:
    """Pictures in twos and threes that belong together, two benign for each malignant."""
    samples = [sample(i, "malignant" if i % 30 < 10 else "benign") for i in range(100)]
    return samples, {s: f"g{i // 2 if i < 40 else i // 3 + 100}" for i, s in enumerate(samples)}


def test_folds_test_everyone_once_and_keep_groups_whole():
    samples, groups = hundred()
    parts = list(splits.folds(samples, groups))
    assert Counter(s for _, test in parts for s in test) == Counter(samples)
    for train, test in parts:
        splits.require_no_leak(train, test, groups)
        assert set(train) | set(test) == set(samples)


@pytest.mark.parametrize("fold", [0, 6])
def test_a_fold_that_would_never_be_tested_is_refused(fold):
    samples, groups = hundred()
    strange = [replace(s, fold=1) for s in samples]
    strange[50] = replace(samples[50], fold=fold, dataset="other")
    with pytest.raises(DataError, match=f"other has a fold {fold}"):
        list(splits.folds(strange, dict(zip(strange, groups.values(), strict=True))))


@pytest.mark.parametrize("seed", range(6))
def test_folds_keep_the_mix_of_labels(seed):
    samples, groups = hundred()
    share = sum(s.label == "malignant" for s in samples) / len(samples)
    for _, test in splits.folds(samples, groups, seed=seed):
        assert sum(s.label == "malignant" for s in test) / len(test) == pytest.approx(share, abs=0.16)


def test_the_same_seed_gives_the_same_folds():
    samples, groups = hundred()
    assert list(splits.folds(samples, groups, seed=3)) == list(splits.folds(samples, groups, seed=3))
    assert list(splits.folds(samples, groups, seed=3)) != list(splits.folds(samples, groups, seed=4))


def test_official_folds_are_kept_and_others_dealt_beside_them():
    samples, groups = hundred()
    official = [sample(1000 + i, fold=i % 5 + 1, patient=f"{i}") for i in range(20)]
    groups |= {s: f"o{s.patient}" for s in official}
    for number, (_, test) in enumerate(splits.folds([*samples, *official], groups), 1):
        assert {s.fold for s in test} == {number, None}


SAMPLES, GROUPS = hundred()
FOLDS = list(splits.folds(SAMPLES, GROUPS))


@given(st.sampled_from(SAMPLES), st.sampled_from(FOLDS))
def test_a_pair_planted_across_a_split_is_found(original, fold):
    planted = sample(500, original.label)
    groups = GROUPS | {planted: GROUPS[original]}
    train, test = fold
    if original in train:
        test = [*test, planted]
    else:
        train = [*train, planted]
    with pytest.raises(LeakError, match="near copy"):
        splits.require_no_leak(train, test, groups)


@pytest.mark.parametrize("label", ["benign", "malignant"])
def test_an_external_sample_is_never_trained_on(label):
    external = sample(1, label, external=True)
    with pytest.raises(LeakError, match=r"external, as its labels\.csv has no column patient"):
        splits.require_no_leak([external, sample(2)], [], {external: "a", sample(2): "b"})


def test_an_external_sample_may_be_tested():
    splits.require_no_leak([sample(1)], [sample(2, external=True)], {sample(1): "a", sample(2, external=True): "b"})


def test_the_random_split_is_seven_to_three_and_its_leak_is_counted():
    samples, groups = hundred()
    train, test = splits.random_split(samples, seed=0)
    assert (len(train), len(test)) == (70, 30)
    assert set(train).isdisjoint(test)
    crossing = splits.leaked(train, test, groups)
    assert crossing
    assert all(any(groups[s] == groups[t] for t in train) for s in crossing)
    assert splits.leaked(train, [s for s in test if s not in crossing], groups) == []


def test_the_split_by_groups_is_seven_to_three_and_leaks_nothing():
    samples, groups = hundred()
    train, test = splits.group_split(samples, groups, seed=0)
    assert len(train) == pytest.approx(70, abs=4)
    assert {*train, *test} == {*samples}
    assert splits.leaked(train, test, groups) == []


def test_too_few_pictures_to_split_are_told_as_such():
    few = [sample(0), sample(1, "malignant"), sample(2, "malignant")]
    with pytest.raises(DataError, match="3 pictures are too few to split"):
        splits.random_split(few, seed=0)
    with pytest.raises(DataError, match="3 pictures are too few to split"):
        list(splits.folds(few, {each: each.name for each in few}))


def test_conflicting_pictures_are_dropped_with_their_whole_group():
    samples = [sample(1, "benign"), sample(2, "malignant"), sample(3, "benign"), sample(4, "malignant")]
    groups = {samples[0]: "a", samples[1]: "a", samples[2]: "b", samples[3]: "c"}
    assert splits.without_conflicts(samples, groups) == samples[2:]


@pytest.fixture(scope="module")
def small_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small sets in the three layouts: BUSI with a planted copy, BUS-BRA with two pictures a patient."""
    root, random = tmp_path_factory.mktemp("data"), np.random.default_rng(0)

    def write(path: Path, picture: np.ndarray) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), picture)

    def scan() -> np.ndarray:
        return cv2.resize(random.integers(0, 256, (12, 12), np.uint8), (96, 72), interpolation=cv2.INTER_CUBIC)

    for label in datasets.CLASS_NAMES:
        for number in range(10):
            write(root / "busi" / label / f"{label} ({number}).png", scan())
    shutil.copy(root / "busi/benign/benign (0).png", root / "busi/benign/benign (11).png")
    rows, folds, labels = ["ID,Case,Pathology,BIRADS,Device,Histology"], ["ID,kFold"], ["image,pathology"]
    for number in range(10):
        label = ("benign", "malignant")[number % 2]
        for side in "lr":
            write(root / "busbra/Images" / f"bus_{number}-{side}.png", scan())
            write(root / "busbra/Masks" / f"mask_{number}-{side}.png", scan())
            rows.append(f"bus_{number}-{side},{number},{label},4,GE,x")
            folds.append(f"bus_{number}-{side},{number % 5 + 1}")
        write(root / "udiat/original" / f"{number}.png", scan())
        write(root / "udiat/GT" / f"{number}.png", scan())
        labels.append(f"{number},{label}")
    (root / "busbra/bus_data.csv").write_text("\n".join(rows))
    (root / "busbra/5-fold-cv.csv").write_text("\n".join(folds))
    (root / "udiat/labels.csv").write_text("\n".join(labels))
    return root


@pytest.mark.parametrize("path", sorted(recipes.FOLDER.glob("*.toml")), ids=lambda path: path.stem)
def test_no_recipe_plans_a_run_that_sees_the_external_set(small_root, path):
    runs = plan(recipes.load(str(path)), small_root)
    assert runs
    for run in runs:
        assert run.train
        assert not any(s.external for s in (*run.train, *run.test))


@pytest.mark.parametrize("name", ["shipped", "grouped", "paper"])
def test_a_recipe_that_would_train_on_the_external_set_is_refused(small_root, name):
    recipe = recipes.load(name).model_copy(update={"data": ("busi", "udiat")})
    with pytest.raises(LeakError, match=r"external, as its labels\.csv has no column patient"):
        plan(recipe, small_root)


def test_a_set_that_is_tested_and_is_a_copy_of_one_that_is_trained_on_is_refused(small_root, tmp_path):
    for name in ("busbra", "copied"):
        shutil.copytree(small_root / "busbra", tmp_path / name)
    copied = recipes.load("transfer").model_copy(update={"test_data": ("copied",)})
    with pytest.raises(LeakError, match="20 test pictures have a near copy or their patient in training"):
        plan(copied, tmp_path)


def test_the_folds_of_a_recipe_keep_the_copies_together(small_root):
    for run in plan(recipes.load("grouped"), small_root):
        sides = {"benign (0)" in {s.name for s in side} for side in (run.train, run.test)}
        twins = {"benign (11)" in {s.name for s in side} for side in (run.train, run.test)}
        assert sides == twins == {True, False}
        assert ("benign (0)" in {s.name for s in run.test}) == ("benign (11)" in {s.name for s in run.test})


def test_no_picture_of_busi_crosses_a_fold_and_the_conflicting_ones_are_dropped(shared_data):
    samples = datasets.load(shared_data / "busi")
    groups = groups_of(samples)
    kept = splits.without_conflicts(samples, groups)
    dropped = {s.name for s in samples} - {s.name for s in kept}
    assert {"benign (433)", "malignant (145)"} <= dropped
    assert len(dropped) <= 25
    for train, test in splits.folds(kept, groups):
        splits.require_no_leak(train, test, groups)


def test_no_patient_of_bus_bra_crosses_an_official_fold(shared_data):
    samples = datasets.load(shared_data / "busbra")
    for train, test in splits.folds(samples, {s: s.patient for s in samples}):
        splits.require_no_leak(train, test, {s: s.patient for s in samples})
