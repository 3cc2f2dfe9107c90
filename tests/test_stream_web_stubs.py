import inspect

import pytest

from stream.web.stubs import no_stubs
from tests.programs import python

COUNT = """
import sys
opened = []
sys.addaudithook(lambda event, a: opened.append(a[0]) if event == "open" and str(a[0]).endswith(".pyi") else None)
import {module}
print(len(opened))
"""


@pytest.mark.parametrize(("module", "some"), [("stream.web.page", False), ("gradio", True)])
def test_type_stubs_are_touched_by_gradio_alone_and_not_by_the_page(module, some):
    assert (int(python("-c", COUNT.format(module=module), check=True).stdout) > 0) == some


def test_files_of_classes_are_found_again_afterwards():
    getfile = inspect.getfile
    with pytest.raises(RuntimeError), no_stubs():
        raise RuntimeError
    assert inspect.getfile is getfile
