"""The live path: source -> handover -> analyzer -> smoothing -> overlay -> sinks and page. Never imports torch."""
