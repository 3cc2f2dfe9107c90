"""Measurements of speed, steadiness and calls. Whatever is claimed about them comes from a run of this package, with
its machine.

Commands, each ``python -m benchmarks.NAME``, and their parts:

- ``latency`` (``workload``, ``layers``, ``paint``, ``ratios``, ``turns``, ``gradcam``; ``latency_report``), ``compare``
- ``peers`` (``environments``, ``peer_loops``, ``peer_models``, ``peer_meter``, ``ours``)
- ``soak`` (``server``)
- ``stability``, ``calls``, ``feeds`` (``replayed``), ``gates`` (``variants``)
- ``table``, which writes the page of results

All report by ``report``, ``machine``, ``conditions`` and ``processes``.
"""
