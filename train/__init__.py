"""Offline work: audit the data, train, evaluate, compare. Of our packages it imports only rcdnet.

- data: ``datasets`` (``images``), ``duplicates``, ``markers``, ``splits``, ``subgroups``; ``audit`` checks them
- what a network is shown: ``views``, ``augment``, ``appearance``, ``transplant``
- a training: ``recipes``, ``plan``, ``start`` (``backbone``, ``teachers``), ``training`` (``losses``, ``optimizer``);
  ``loop`` runs several, each into a ``run_folder`` with its ``provenance``; ``average`` joins networks
- its answers: ``predict``, ``predictions``, ``metrics``, ``heat_maps``, ``faithfulness``; ``evaluate``, ``calibrate``,
  ``contrast`` and ``ablation`` make sense of them
- other networks: ``peers``, ``compare``
- docs/results: ``publish``, from ``results``, by ``markdown`` and ``figures``; the terminal: ``tables``
"""
