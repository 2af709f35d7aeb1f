"""An ASGI application, with a lifespan."""

import json


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        scope["state"]["started"] = True
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    if scope["query_string"] == b"fail":
        raise ValueError("as it was asked to")
    body = json.dumps({"runtime": "python", "style": "asgi", "method": scope["method"], "started": scope["state"]["started"]}).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": body})
