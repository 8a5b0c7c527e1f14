"""The application: FastAPI routes, answered by slices. Run it by `uvicorn examples.fastapi_host.app:app`."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Request

import aether

from .slices import Dish, Kitchen, SoldOut


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
    async with aether.asyncio_host.open_cluster(Kitchen) as hosted:
        app.state.kitchen = hosted.get(Kitchen)
        yield


def the_kitchen(request: Request) -> Kitchen:
    kitchen: Kitchen = request.app.state.kitchen
    return kitchen


app = FastAPI(lifespan=lifespan)
TheKitchen = Annotated[Kitchen, Depends(the_kitchen)]


@app.post("/dishes/{name}")
async def order(kitchen: TheKitchen, name: str, seconds: float = 0, patience: float = 5) -> Dish:
    """A dish, if it is ready before the guest's patience ends."""
    try:
        async with asyncio.timeout(patience):
            return await kitchen.cook(name, seconds)
    except SoldOut as fault:
        raise HTTPException(fault.status, f"no {fault.name} left") from fault
    except TimeoutError as error:
        raise HTTPException(504, "the guest has left") from error


@app.get("/waste")
async def waste(kitchen: TheKitchen) -> list[str]:
    return await kitchen.waste()


@app.get("/cooking")
async def cooking(kitchen: TheKitchen) -> list[str]:
    return await kitchen.now()
