"""Prints the signature that botocore gives a request without a body.

The request is JSON in the first argument: method, url, the signed headers, region, service and the
secret key. Its time is the header x-amz-date.
"""

import json
import sys

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

asked = json.loads(sys.argv[1])
request = AWSRequest(asked["method"], asked["url"], headers=asked["headers"])
request.context["timestamp"] = asked["headers"]["x-amz-date"]
auth = SigV4Auth(Credentials("key", asked["secret"]), asked["service"], asked["region"])
text = auth.string_to_sign(request, auth.canonical_request(request))
print(auth.signature(text, request))
