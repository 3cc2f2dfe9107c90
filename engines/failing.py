"""An engine that fails in the middle of a run, to show what happens then: ``--engine failing``."""

import numpy as np
from numpy.typing import NDArray

from engines.base import Closing, Engine, EngineInfo, EngineOutput
from engines.errors import EngineError

GOOD_CALLS = 60
"""A second of frames with two looks each, then it is lost for good."""


class FailingEngine(Closing):
    """A GPU that does not exist: another engine's answers for ``good_calls`` calls, then errors. Closes that engine."""

    def __init__(self, engine: Engine, good_calls: int = GOOD_CALLS) -> None:
        self._engine = engine
        self._good_calls = good_calls
        self.spec = engine.spec
        self.info = EngineInfo(
            "failing", engine.info.precision, "a made-up GPU", "demonstrations", engine.info.weights_sha256
        )

    def run(self, images: NDArray[np.uint8]) -> EngineOutput:
        """See ``engines.base.Engine``."""
        output = self._engine.run(images)
        if self._good_calls == 0:
            raise EngineError("the GPU is lost (made up, to show what happens)")
        self._good_calls -= 1
        return output

    def close(self) -> None:
        """See ``engines.base.Engine``."""
        self._engine.close()
