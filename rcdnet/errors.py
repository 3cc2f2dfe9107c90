"""What is wrong with weights: apart from ``checkpoint``, so that whoever tells an error need not wait for PyTorch."""


class CheckpointError(ValueError):
    """The file is not an RcdNet checkpoint, or not the one that it claims to be."""
