"""A container image of the user's own that speaks the Agent Server API: LangChain's, with a licence key among its
variables, or any other. Nothing of ours runs in it.

It is held to what it answers: `/ok`, and that its assistants can be searched, unless it asks who is there.
"""

from dataplane.flavours import ServerFlavour
from workflows.shapes import Flavour

IMAGE = ServerFlavour(
    name=Flavour.IMAGE,
    requirements=(),
    version="",
    most_replicas=100,
    # What LangChain's own server opens by default, at most; nobody else's is known.
    connections=150,
    health="/ok",
    entry=False,
)
