"""A FastAPI application under uvicorn that calls slices: `python -m examples.fastapi_host`."""
