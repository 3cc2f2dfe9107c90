"""The live page: FastAPI carries the picture, Gradio is the control room beside it. Everything is served locally."""
