"""One file per runtime behind one small protocol (``engines.base.Engine``); ``engines.catalog`` chooses."""
