"""How far a request has come.

Every request that a function makes by http.client, as urllib, requests and boto3
do, says in a header how often what led to it has passed through the platform,
in the platform's own words. There it is read, and what runs in a circle ends.
"""

from http.client import HTTPConnection

from _lateen import call

HEADER = "x-lateen-hops"


def install():
    own = HTTPConnection.endheaders

    def endheaders(self, *args, **kwargs):
        owner = call.current.get()
        if owner is not None and owner.hops:
            self.putheader(HEADER, owner.hops)
        return own(self, *args, **kwargs)

    HTTPConnection.endheaders = endheaders
