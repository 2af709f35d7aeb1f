"""A WSGI application."""

import json


def app(environ, start_response):
    print("asked for", environ["PATH_INFO"])
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({"runtime": "python", "style": "wsgi", "method": environ["REQUEST_METHOD"], "query": environ["QUERY_STRING"]}).encode()]
