"""uvicorn on a free port, unless one is given: `python -m examples.fastapi_host 8000`."""

import sys

import uvicorn

from .app import app

uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]) if len(sys.argv) > 1 else 0)
