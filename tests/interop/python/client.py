"""A workload as py-spiffe's users write it.

    client.py ENDPOINT SPIFFE_ID
    client.py ENDPOINT SPIFFE_ID rotate COUNT
    client.py ENDPOINT SPIFFE_ID witness PEER

It uses each part of the client once, verifies the JWT-SVID offline with PyJWT, and says what
failed. With rotate, it holds an X509Source until that many new SVIDs have come. With witness, it
swaps identities with the peer until its input ends.
"""

import sys
import threading
from datetime import datetime, timezone

import jwt
from spiffe import JwtSource, JwtSvid, SpiffeId, WorkloadApiClient, X509Source
from witness import Witness

AUDIENCE = "payments"
PATIENCE_SECONDS = 60


def check_x509(endpoint, spiffe_id):
    with X509Source(socket_path=endpoint, timeout_in_seconds=PATIENCE_SECONDS) as source:
        svid = source.get_x509_context().default_svid
        assert svid.spiffe_id == spiffe_id, svid.spiffe_id
        bundle = source.get_bundle_for_trust_domain(spiffe_id.trust_domain)
        (authority,) = bundle.x509_authorities
        svid.leaf.verify_directly_issued_by(authority)


def check_jwt(endpoint, spiffe_id):
    with JwtSource(socket_path=endpoint, timeout_in_seconds=PATIENCE_SECONDS) as source:
        token = source.fetch_svid({AUDIENCE}).token
        bundle = source.get_bundle_for_trust_domain(spiffe_id.trust_domain)
        assert JwtSvid.parse_and_validate(token, bundle, {AUDIENCE}).spiffe_id == spiffe_id
        key = bundle.get_jwt_authority(jwt.get_unverified_header(token)["kid"])
        claims = jwt.decode(token, key, algorithms=["ES256"], audience=AUDIENCE)
        assert claims["sub"] == str(spiffe_id), claims
        refused(lambda: JwtSvid.parse_and_validate(token, bundle, {"orders"}))


def check_client(endpoint, spiffe_id):
    with WorkloadApiClient(socket_path=endpoint) as client:
        token = client.fetch_jwt_svid({AUDIENCE}, spiffe_id).token
        assert client.validate_jwt_svid(token, AUDIENCE).spiffe_id == spiffe_id
        refused(lambda: client.validate_jwt_svid(token, "orders"))
        own = spiffe_id.trust_domain
        assert client.fetch_x509_bundles().get_bundle_for_trust_domain(own).x509_authorities
        assert client.fetch_jwt_bundles().get_bundle_for_trust_domain(own).jwt_authorities


def refused(step):
    try:
        step()
    except Exception:
        return
    raise AssertionError("a token for another audience is valid")


def rotate(endpoint, count):
    """Counts new SVIDs, and never holds one that has expired."""
    serials = set()
    with X509Source(socket_path=endpoint, timeout_in_seconds=PATIENCE_SECONDS) as source:
        changed = threading.Event()
        source.subscribe_for_updates(changed.set)
        while len(serials) <= count:
            leaf = source.get_x509_context().default_svid.leaf
            now = datetime.now(timezone.utc)
            assert now <= leaf.not_valid_after_utc, (now, leaf.not_valid_after_utc)
            serials.add(leaf.serial_number)
            changed.wait(0.05)
            changed.clear()
            assert not source.is_closed(), "the source has given up"
    print("ok rotate", len(serials))


def main(endpoint, spiffe_id, *rest):
    if rest and rest[0] == "witness":
        Witness(endpoint, spiffe_id).run(rest[1])
        return
    if rest:
        rotate(endpoint, int(rest[1]))
        return
    for check in (check_x509, check_jwt, check_client):
        check(endpoint, SpiffeId(spiffe_id))
        print("ok", check.__name__)


if __name__ == "__main__":
    main(*sys.argv[1:])
