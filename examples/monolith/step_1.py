"""Step 1: the application as it is, in a node. `python -m examples.monolith.step_1`."""

import aether

from .before import app

Shop = aether.asgi(app, at="/", artifact="shop:web:1.0.0")  # one instance: its state is its own

if __name__ == "__main__":
    aether.run(Shop)
