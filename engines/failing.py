"""An engine that fails in the middle of a run, to show what happens then: ``--engine failing``."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from engines.base import Engine, EngineOutput
from engines.errors import EngineError

GOOD_PICTURES = 60
"""A second of frames with two looks each; then it fails for good."""


class FailingEngine(Engine):
    """A GPU that does not exist: another engine's answers for ``good_pictures``, then errors. Closes that engine."""

    def __init__(self, engine: Engine, good_pictures: int = GOOD_PICTURES) -> None:
        self._engine = engine
        self._good_pictures = good_pictures
        self.spec = engine.spec
        self.info = replace(engine.info, name="failing", device="a made-up GPU", built_for="demonstrations")

    def run(self, images: NDArray[np.uint8]) -> EngineOutput:
        """See ``engines.base.Engine``."""
        if self._good_pictures < len(images):
            raise EngineError("the GPU is lost (made up, to show what happens)")
        self._good_pictures -= len(images)
        return self._engine.run(images)

    def close(self) -> None:
        """See ``engines.base.Engine``."""
        self._engine.close()
