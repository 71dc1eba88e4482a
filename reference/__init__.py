"""The reference implementation of the Blackhole RPC architecture: `python -m reference`."""

import os

# gRPC's own messages go straight to standard error, where nobody may be reading. It asks for
# this when it is first imported, so it stands before every import of it.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
