from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from train import datasets
from train.errors import DataError


def write(path: Path, picture: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), picture)


def square(size: tuple[int, int], left: int) -> np.ndarray:
    mask = np.zeros(size, np.uint8)
    mask[10:20, left : left + 10] = 255
    return mask


def test_class_folders_with_several_masks_and_any_suffix(tmp_path):
    picture = np.full((60, 80), 90, np.uint8)
    write(tmp_path / "benign" / "benign (10).png", picture)
    write(tmp_path / "benign" / "benign (2).jpg", picture)
    write(tmp_path / "benign" / "benign (2)_mask.png", square((60, 80), 5))
    write(tmp_path / "benign" / "benign (2)_mask_1.png", square((60, 80), 40))
    write(tmp_path / "normal" / "normal (1).bmp", picture)
    samples = datasets.load(tmp_path)
    assert [(s.label, s.name) for s in samples] == [
        ("normal", "normal (1)"),
        ("benign", "benign (2)"),
        ("benign", "benign (10)"),
    ]
    assert [int(s.lesion().sum()) for s in samples] == [0, 200, 0]
    assert not any(s.external for s in samples)


@pytest.mark.parametrize(("column", "told"), [("", {}), (",diagnosis", {"histology": "IDC"})])
def test_a_histology_that_no_column_names_is_not_told(tmp_path, column, told):
    write(tmp_path / "original" / "a.png", np.full((60, 80), 90, np.uint8))
    (tmp_path / "labels.csv").write_text(f"image,pathology{column}\na,benign{',IDC' if column else ''}\n")
    assert datasets.load(tmp_path)[0].attributes == told


def test_one_name_in_two_classes_is_told_with_its_class(tmp_path):
    for label in ("benign", "malignant"):
        write(tmp_path / label / "001.png", np.full((60, 80), 90, np.uint8))
        write(tmp_path / label / "001_mask.png", square((60, 80), 5))
    write(tmp_path / "benign" / "002.png", np.full((60, 80), 90, np.uint8))
    samples = datasets.load(tmp_path)
    assert [sample.name for sample in samples] == ["benign/001", "002", "malignant/001"]
    assert [len(sample.masks) for sample in samples] == [1, 0, 1]


def test_one_name_for_two_pictures_is_refused(tmp_path):
    for suffix in ("png", "jpg"):
        write(tmp_path / "benign" / f"001.{suffix}", np.full((60, 80), 90, np.uint8))
    with pytest.raises(DataError, match="1 names for more than one picture, such as 001"):
        datasets.load(tmp_path)


def test_class_folders_may_be_written_in_capitals(tmp_path):
    write(tmp_path / "Benign" / "001.png", np.full((60, 80), 90, np.uint8))
    write(tmp_path / "MALIGNANT " / "002.png", np.full((60, 80), 90, np.uint8))
    write(tmp_path / "benign" / "003.png", np.full((60, 80), 90, np.uint8))
    assert [sample.label for sample in datasets.load(tmp_path)] == ["benign", "benign", "malignant"]


def bus_bra(root: Path) -> None:
    for name in ("bus_0001-l", "bus_0001-r"):
        write(root / "Images" / f"{name}.png", np.full((50, 70), 60, np.uint8))
        write(root / "Masks" / f"{name.replace('bus', 'mask')}.png", square((50, 70), 8))
    (root / "bus_data.csv").write_text(
        "ID,Case,Histology,Pathology,BIRADS,Device\n"
        "bus_0001-l,7,fibroadenoma,benign,3,GE\nbus_0001-r,7,carcinoma,malignant,5,GE\n"
    )
    (root / "5-fold-cv.csv").write_text("ID,Pathology,kFold\nbus_0001-l,benign,4\nbus_0001-r,malignant,4\n")


def test_bus_bra_knows_patient_fold_and_attributes(tmp_path):
    bus_bra(tmp_path)
    left, right = datasets.load(tmp_path)
    assert (left.label, left.patient, left.fold) == ("benign", "7", 4)
    assert (right.label, right.attributes["birads"], right.attributes["device"]) == ("malignant", "5", "GE")
    assert left.lesion().sum() == 100


def test_a_listed_picture_that_is_missing_is_named(tmp_path):
    bus_bra(tmp_path)
    (tmp_path / "Images" / "bus_0001-r.png").unlink()
    with pytest.raises(DataError, match="bus_0001-r"):
        datasets.load(tmp_path)


def test_udiat_is_external(tmp_path):
    write(tmp_path / "original" / "000001.png", np.full((50, 70), 60, np.uint8))
    write(tmp_path / "GT" / "000001.png", square((50, 70), 8))
    (tmp_path / "labels.csv").write_text("image,pathology,diagnosis\n000001,malignant,IDC\n")
    (sample,) = datasets.load(tmp_path)
    assert sample.external
    assert sample.label == "malignant"


def test_a_table_of_one_s_own_needs_no_masks_and_may_tell_files_and_patients(tmp_path):
    for name in ("a", "b"):
        write(tmp_path / "original" / f"{name}.png", np.full((60, 80), 90, np.uint8))
    (tmp_path / "labels.csv").write_text("image,pathology,patient\na.png,benign,7\nb,malignant,\n")
    first, second = datasets.load(tmp_path)
    assert (first.name, first.label, first.masks, first.patient) == ("a", "benign", (), "7")
    assert (second.name, second.patient) == ("b", None)
    assert not second.external  # UDIAT's names no patients


@pytest.mark.parametrize("header", ["Image,Pathology,Patient", "image, pathology, patient "])
def test_a_table_as_a_spreadsheet_on_windows_writes_it_is_understood(tmp_path, header):
    write(tmp_path / "original" / "a.png", np.full((60, 80), 90, np.uint8))
    (tmp_path / "labels.csv").write_text(f"{header}\noriginal\\a.png ,benign,7\n,,\n")
    (sample,) = datasets.load(tmp_path)
    assert (sample.name, sample.label, sample.patient, sample.external) == ("a", "benign", "7", False)


def test_a_blank_beside_a_patient_s_name_makes_no_other_patient(tmp_path):
    for name in ("a", "b", "c"):
        write(tmp_path / "original" / f"{name}.png", np.full((60, 80), 90, np.uint8))
    (tmp_path / "labels.csv").write_text("image,pathology,patient\na,benign,7\nb,benign,7 \nc,benign, \n")
    assert [sample.patient for sample in datasets.load(tmp_path)] == ["7", "7", None]


def test_a_folder_of_masks_without_any_is_none(tmp_path):
    write(tmp_path / "original" / "a.png", np.full((60, 80), 90, np.uint8))
    (tmp_path / "GT").mkdir()
    (tmp_path / "GT" / ".DS_Store").touch()
    (tmp_path / "labels.csv").write_text("image,pathology\na,benign\n")
    assert datasets.load(tmp_path)[0].masks == ()


def test_a_lesion_without_its_mask_beside_others_is_missed_and_a_normal_picture_is_not(tmp_path):
    for name in ("a", "b"):
        write(tmp_path / "original" / f"{name}.png", np.full((60, 80), 90, np.uint8))
    write(tmp_path / "GT" / "a.png", square((60, 80), 5))
    (tmp_path / "labels.csv").write_text("image,pathology\na,benign\nb,normal\n")
    assert [len(sample.masks) for sample in datasets.load(tmp_path)] == [1, 0]
    (tmp_path / "labels.csv").write_text("image,pathology\na,benign\nb,malignant\n")
    with pytest.raises(DataError, match="lists b, but its image or mask is missing"):
        datasets.load(tmp_path)


def test_a_mask_of_another_size_is_fitted(tmp_path):
    write(tmp_path / "benign" / "a.png", np.full((60, 80), 90, np.uint8))
    write(tmp_path / "benign" / "a_mask.png", square((120, 160), 20))
    lesion = datasets.load(tmp_path)[0].lesion()
    assert lesion.shape == (60, 80)
    assert lesion.sum() == 25


@pytest.mark.parametrize("white", [1, 76, 255])
def test_a_mask_may_be_of_any_white(tmp_path, white):
    write(tmp_path / "benign" / "a.png", np.full((60, 80), 90, np.uint8))
    write(tmp_path / "benign" / "a_Mask.png", square((60, 80), 20) // 255 * white)
    (sample,) = datasets.load(tmp_path)
    assert sample.lesion().sum() == 100


def test_a_mask_may_number_its_lesions(tmp_path):
    write(tmp_path / "benign" / "a.png", np.full((60, 80), 90, np.uint8))
    numbered = square((60, 80), 20) // 255 + square((60, 80), 40) // 255 * 2
    write(tmp_path / "benign" / "a_mask.png", numbered)
    assert datasets.load(tmp_path)[0].lesion().sum() == 200


@pytest.mark.parametrize(
    "palette",
    [
        pytest.param([0, 0, 0, 85, 85, 85, 255, 255, 255], id="greys"),
        pytest.param([0, 0, 0, 0, 0, 128, 128, 128, 0], id="colours"),  # dark blue is a seventh as bright as yellow
    ],
)
def test_a_mask_may_number_its_lesions_by_a_palette(tmp_path, palette):
    write(tmp_path / "benign" / "a.png", np.full((60, 80), 90, np.uint8))
    mask = Image.fromarray(square((60, 80), 20) // 255 + square((60, 80), 40) // 255 * 2, "P")
    mask.putpalette(palette)
    mask.save(tmp_path / "benign" / "a_mask.png")
    assert datasets.load(tmp_path)[0].lesion().sum() == 200


@pytest.mark.parametrize("shade", [0, 255])
def test_a_mask_may_lie_in_its_transparency(tmp_path, shade):
    write(tmp_path / "benign" / "a.png", np.full((60, 80), 90, np.uint8))
    write(tmp_path / "benign" / "a_mask.png", np.dstack([np.full((60, 80, 3), shade, np.uint8), square((60, 80), 20)]))
    assert datasets.load(tmp_path)[0].lesion().sum() == 100


@pytest.mark.parametrize("mode", ["L", "P", "RGB"])
def test_a_mask_is_turned_as_its_header_says_like_its_picture(tmp_path, mode):
    (tmp_path / "benign").mkdir()
    turned = Image.Exif()
    turned[0x0112] = 6  # a quarter to the right
    for name, corner in (("a.png", 9), ("a_mask.png", 0)):
        shown = square((60, 80), 20)
        shown[0, 0] = corner  # a picture has more than two grey values
        Image.fromarray(shown).convert(mode).save(tmp_path / "benign" / name, exif=turned)
    sample = datasets.load(tmp_path)[0]
    assert np.array_equal(sample.lesion(), sample.grey() > 9)
    assert np.array_equal(sample.lesion(), np.rot90(square((60, 80), 20) > 0, -1))


def test_what_is_transparent_in_a_mask_is_no_lesion_whatever_its_colour(tmp_path):
    write(tmp_path / "benign" / "a.png", np.full((60, 80), 90, np.uint8))
    mask = np.dstack([square((60, 80), 20)] * 3 + [np.full((60, 80), 255, np.uint8)])
    mask[30:40, 20:30] = 255, 255, 255, 254
    mask[50:, :, 3] = 0
    mask[50:, :, :3] = 255  # nobody sees this white
    write(tmp_path / "benign" / "a_mask.png", mask)
    assert datasets.load(tmp_path)[0].lesion().sum() == 200


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("image;pathology\n1;benign\n", "no column image, pathology"),
        ("image,pathology,Patient,patient ,,\n1,benign,7,8,,\n", "two columns patient \\(capitals do not count\\)"),
        ("image,pathology\n1,malignant?\n", r"labelled 'malignant\?'"),
        ("image,pathology\n1,b\xe9nigne\n", "not UTF-8"),
    ],
)
def test_a_table_that_says_something_else_is_refused_in_words(tmp_path, table, message):
    write(tmp_path / "original" / "1.png", np.full((50, 70), 60, np.uint8))
    write(tmp_path / "GT" / "1.png", square((50, 70), 8))
    (tmp_path / "labels.csv").write_text(table, encoding="latin-1")
    with pytest.raises(DataError, match=message):
        datasets.load(tmp_path)


def test_a_row_that_ends_too_soon_is_told(tmp_path):
    bus_bra(tmp_path)
    (tmp_path / "bus_data.csv").write_text("ID,Case,Histology,Pathology,BIRADS,Device\nbus_0001-l,7\n")
    with pytest.raises(DataError, match=r"bus_data.csv ends before pathology, .* in row 1"):
        datasets.load(tmp_path)


def test_a_fold_that_is_no_number_is_told(tmp_path):
    bus_bra(tmp_path)
    (tmp_path / "5-fold-cv.csv").write_text("ID,Pathology,kFold\nbus_0001-l,benign,\n")
    with pytest.raises(DataError, match="kFold that is not a whole number"):
        datasets.load(tmp_path)


def test_a_table_of_folds_without_any_is_told_as_such(tmp_path):
    bus_bra(tmp_path)
    (tmp_path / "5-fold-cv.csv").write_text("ID,Pathology\nbus_0001-l,benign\n")
    with pytest.raises(DataError, match=r"^[^:]*5-fold-cv\.csv has no column kfold"):
        datasets.load(tmp_path)


def test_labels_may_be_untidy(tmp_path):
    write(tmp_path / "original" / "1.png", np.full((50, 70), 60, np.uint8))
    write(tmp_path / "GT" / "1.png", square((50, 70), 8))
    (tmp_path / "labels.csv").write_text("image,pathology\n1,Malignant \n")
    assert datasets.load(tmp_path)[0].label == "malignant"


def test_a_mask_whose_name_does_not_say_so_is_no_further_picture(tmp_path):
    write(tmp_path / "benign" / "a.png", np.full((60, 80), 90, np.uint8))
    write(tmp_path / "benign" / "a-mask.png", square((60, 80), 20))
    with pytest.raises(DataError, match=r"a-mask\.png has only two grey values: it is a mask\. Name it"):
        [sample.grey() for sample in datasets.load(tmp_path)]


def test_hidden_files_are_no_pictures_and_webp_is_one(tmp_path):
    for name in ("a.png", "._a.png", "b.webp"):
        write(tmp_path / "benign" / name, np.full((60, 80), 90, np.uint8))
    assert [sample.name for sample in datasets.load(tmp_path)] == ["a", "b"]


def test_a_folder_that_is_no_class_is_told(tmp_path, caplog):
    for name in ("benign", "bösartig"):
        write(tmp_path / name / "a.png", np.full((60, 80), 90, np.uint8))
    assert [sample.label for sample in datasets.load(tmp_path)] == ["benign"]
    assert "left out: bösartig" in caplog.text


def test_what_is_no_picture_beside_pictures_is_told(tmp_path, caplog):
    write(tmp_path / "benign" / "a.png", np.full((60, 80), 90, np.uint8))
    write(tmp_path / "benign" / "sub" / "b.png", np.full((60, 80), 90, np.uint8))
    for name in ("scan.dcm", "x.mp4", "y.gif", ".DS_Store"):
        (tmp_path / "benign" / name).touch()
    datasets.load(tmp_path)
    assert "benign: left out: scan.dcm, sub, x.mp4 and 1 more" in caplog.text


def test_a_mask_of_no_picture_is_told(tmp_path, caplog):
    for name in ("a.png", "a_mask.png", "b_mask.png"):
        write(tmp_path / "benign" / name, square((60, 80), 20))
    assert [sample.name for sample in datasets.load(tmp_path)] == ["a"]
    assert "benign: left out: b_mask.png. Masks without a picture" in caplog.text
    assert "a_mask" not in caplog.text


def test_pictures_that_no_table_lists_are_told(tmp_path, caplog):
    bus_bra(tmp_path / "busbra")
    table = tmp_path / "busbra" / "bus_data.csv"
    table.write_text("\n".join(table.read_text().splitlines()[:2]))
    datasets.load(tmp_path / "busbra")
    assert "Images: left out: bus_0001-r. bus_data.csv" in caplog.text
    for name in ("a", "b"):
        write(tmp_path / "own" / "original" / f"{name}.png", np.full((60, 80), 90, np.uint8))
    (tmp_path / "own" / "labels.csv").write_text("image,pathology\na,benign\n")
    datasets.load(tmp_path / "own")
    assert "original: left out: b. labels.csv" in caplog.text


def test_further_pages_of_a_picture_are_told(tmp_path, caplog):
    (tmp_path / "benign").mkdir()
    assert cv2.imwritemulti(str(tmp_path / "benign" / "stack.tif"), [np.full((60, 80), 90, np.uint8)] * 2)
    write(tmp_path / "benign" / "single.tif", np.full((60, 80), 90, np.uint8))
    datasets.load(tmp_path)
    assert "left out: all pages of stack.tif but its first" in caplog.text
    assert "single" not in caplog.text


def test_a_class_folder_without_pictures_is_told(tmp_path):
    (tmp_path / "benign").mkdir()
    with pytest.raises(DataError, match="benign contains no picture"):
        datasets.load(tmp_path)


def test_a_set_is_called_by_its_folder_also_from_within(tmp_path, monkeypatch):
    write(tmp_path / "own" / "benign" / "a.png", np.full((60, 80), 90, np.uint8))
    (tmp_path / "link").symlink_to(tmp_path / "own")
    monkeypatch.chdir(tmp_path / "own" / "benign")
    assert [datasets.load(root)[0].dataset for root in (Path(".."), tmp_path / "link")] == ["own", "link"]
    monkeypatch.chdir(tmp_path / "own")
    assert datasets.load(Path())[0].dataset == "own"


def test_an_unknown_layout_says_what_is_expected(tmp_path):
    with pytest.raises(DataError, match="class folders"):
        datasets.load(tmp_path)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(DataError, match="nowhere"):
        datasets.load(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("busi", {"benign": 437, "malignant": 210, "normal": 133}),
        ("busbra", {"benign": 1268, "malignant": 607}),
        ("udiat", {"benign": 109, "malignant": 54}),
    ],
)
def test_the_published_sets_are_complete(shared_data, name, labels):
    samples = datasets.load(shared_data / name)
    assert {label: sum(s.label == label for s in samples) for label in labels} == labels
    assert len(samples) == sum(labels.values())
    assert all(s.masks for s in samples if s.label != "normal")
