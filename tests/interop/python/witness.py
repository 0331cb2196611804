"""A workload that swaps identities with a peer over plain TCP until its input ends.

In each swap both sides show a JWT-SVID and an X.509-SVID and verify the other's. It tells each
failure with all that it held, and the counts at the end, a line of JSON for each.
"""

import base64
import json
import socket
import sys
import threading
import time
from datetime import datetime, timezone

import jwt
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from spiffe import JwtSource, JwtSvid, SpiffeId, WorkloadApiClient, X509Source

AUDIENCE = "payments"
PATIENCE_SECONDS = 20
PAUSE_SECONDS = 0.03
TICK_SECONDS = 0.05
NEVER_MS = 3_600_000


class Witness:
    def __init__(self, endpoint, spiffe_id):
        self.spiffe_id = SpiffeId(spiffe_id)
        timeout = {"timeout_in_seconds": 60}
        self.x509 = X509Source(socket_path=endpoint, svid_picker=self.pick, **timeout)
        self.jwt = JwtSource(socket_path=endpoint, **timeout)
        self.client = WorkloadApiClient(socket_path=endpoint)
        self.ended = threading.Event()
        self.tokens = self.chains = self.failures = 0
        self.svids, self.signers, self.keys = set(), set(), set()
        self.least_svid_ms = self.least_token_ms = NEVER_MS
        self.lag = self.longest_lag = 0

    def pick(self, svids):
        return next(svid for svid in svids if svid.spiffe_id == self.spiffe_id)

    def run(self, peer):
        threading.Thread(target=self.wait_for_the_end, daemon=True).start()
        threading.Thread(target=self.feel_lag, daemon=True).start()
        host, port = peer.rsplit(":", 1)
        while not self.ended.is_set():
            self.swap((host, int(port)))
            self.ended.wait(PAUSE_SECONDS)
        self.conclude()

    def wait_for_the_end(self):
        sys.stdin.read()
        self.ended.set()

    def feel_lag(self):
        """Notices when this process does not get to run."""
        while True:
            before = time.monotonic()
            time.sleep(TICK_SECONDS)
            lag = time.monotonic() - before - TICK_SECONDS
            self.lag = max(lag, self.lag * 0.9)
            self.longest_lag = max(lag, self.longest_lag)

    def swap(self, peer):
        try:
            with socket.create_connection(peer, PATIENCE_SECONDS) as connection:
                connection.sendall(self.shown().encode() + b"\n")
                with connection.makefile() as lines:
                    shown = json.loads(lines.readline())
        except Exception as error:
            self.failed("swap", error)
            return
        self.judge_token(shown["token"])
        self.judge_chain([base64.b64decode(der) for der in shown["chain"]])

    def shown(self):
        svid = self.x509.get_x509_context().default_svid
        own = held(svid.leaf)
        self.svids.add(own["serial"])
        self.signers.add(own["signer"])
        self.least_svid_ms = min(self.least_svid_ms, left_ms(svid.leaf.not_valid_after_utc.timestamp()))
        token = self.jwt.fetch_svid({AUDIENCE}, self.spiffe_id, timeout=PATIENCE_SECONDS)
        self.least_token_ms = min(self.least_token_ms, left_ms(token.expiry))
        chain = [base64.b64encode(one.public_bytes(Encoding.DER)).decode() for one in svid.cert_chain]
        return json.dumps({"token": token.token, "chain": chain})

    def judge_token(self, token):
        key = jwt.get_unverified_header(token)["kid"]
        bundle = self.jwt.get_bundle_for_trust_domain(self.spiffe_id.trust_domain)
        try:
            JwtSvid.parse_and_validate(token, bundle, {AUDIENCE})
            self.client.validate_jwt_svid(token, AUDIENCE)
        except Exception as error:
            expires = jwt.decode(token, options={"verify_signature": False})["exp"]
            self.failed(
                "token", error, key=key, expires=str(datetime.fromtimestamp(expires, timezone.utc)),
                left_ms=left_ms(expires), bundle=list(bundle.jwt_authorities),
            )
            return
        self.tokens += 1
        self.keys.add(key)

    def judge_chain(self, chain):
        leaf = x509.load_der_x509_certificate(chain[0])
        bundle = self.x509.get_bundle_for_trust_domain(self.spiffe_id.trust_domain)
        authorities = {key_id(one): one for one in bundle.x509_authorities}
        try:
            now = datetime.now(timezone.utc)
            authority = authorities[held(leaf)["signer"]]
            leaf.verify_directly_issued_by(authority)
            for one in (leaf, authority):
                assert one.not_valid_before_utc <= now <= one.not_valid_after_utc, "it is not valid now"
        except Exception as error:
            left = left_ms(leaf.not_valid_after_utc.timestamp())
            self.failed("chain", error, peer=held(leaf), left_ms=left, bundle=list(authorities))
            return
        self.chains += 1

    def failed(self, what, why, **told):
        self.failures += 1
        say(failed=what, why=repr(why), at=str(datetime.now(timezone.utc)),
            lag_ms=round(self.lag * 1000), **told)

    def conclude(self):
        say(
            tokens=self.tokens, chains=self.chains, failures=self.failures, svids=len(self.svids),
            signers=len(self.signers), keys=len(self.keys), least_svid_ms=self.least_svid_ms,
            least_token_ms=self.least_token_ms, longest_lag_ms=round(self.longest_lag * 1000),
        )


def held(leaf):
    signer = leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    return {
        "serial": f"{leaf.serial_number:x}",
        "signer": signer.key_identifier.hex(),
        "not_after": str(leaf.not_valid_after_utc),
    }


def key_id(authority):
    return authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest.hex()


def left_ms(end):
    return round((end - time.time()) * 1000)


def say(**line):
    print(json.dumps(line), flush=True)
