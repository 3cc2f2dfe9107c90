import pytest

from rcdnet.files import part_of, written_whole


def test_a_file_takes_the_place_of_the_old_one_once_it_is_whole(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("old")
    with written_whole(path) as part:
        part.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_what_breaks_off_leaves_the_old_file_and_no_half_of_the_new_one(tmp_path, error):
    path = tmp_path / "a.json"
    path.write_text("old")

    def broken_off():
        with written_whole(path) as part:
            part.write_text("ne")
            raise error

    with pytest.raises(error):
        broken_off()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_part_that_cannot_be_written_is_told_by_its_name(tmp_path):
    path = tmp_path / "absent" / "a.json"
    with pytest.raises(FileNotFoundError, match=r"a\.json\.part"), written_whole(path) as part:
        part.write_text("new")
    assert part_of(path).name == "a.json.part"
