import aether


@aether.slice
class Greeter:
    @aether.get("/hello/{name}")
    async def hello(self, name: str) -> str:
        return f"Hello, {name}!"


if __name__ == "__main__":
    aether.run(Greeter)
