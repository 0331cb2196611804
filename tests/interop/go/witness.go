package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
)

const (
	// Between two conversations with one peer.
	pause = 30 * time.Millisecond
	// A conversation that takes longer hangs.
	patience = 20 * time.Second
	// How often it is looked whether this process gets to run.
	tick = 50 * time.Millisecond
)

// witness holds conversations over mTLS with its peers and with itself, both as client and as server,
// until its input ends. In each, both sides show a JWT-SVID and verify the other's, and each failure
// is told with all that this side held. It says where it listens, each failure, and the counts at the end,
// a line of JSON for each.
type witness struct {
	id   spiffeid.ID
	x509 *workloadapi.X509Source
	jwt  *workloadapi.JWTSource
	out  sync.Mutex

	mu         sync.Mutex
	handshakes int
	tokens     int
	failures   int
	svids      map[string]bool
	signers    map[string]bool
	keys       map[string]bool
	leastSVID  time.Duration
	leastToken time.Duration
	longestLag time.Duration
	lag        time.Duration
}

// held is what one side had: an SVID by its serial number, signer and end.
type held struct {
	Serial   string    `json:"serial"`
	Signer   string    `json:"signer"`
	NotAfter time.Time `json:"not_after"`
}

func runWitness(ctx context.Context, endpoint string, id spiffeid.ID, peers []string) error {
	w := &witness{
		id: id, svids: map[string]bool{}, signers: map[string]bool{}, keys: map[string]bool{},
		leastSVID: time.Hour, leastToken: time.Hour,
	}
	client := workloadapi.WithClientOptions(workloadapi.WithAddr(endpoint))
	pick := workloadapi.WithDefaultX509SVIDPicker(func(svids []*x509svid.SVID) *x509svid.SVID {
		for _, svid := range svids {
			if svid.ID == id {
				return svid
			}
		}
		return svids[0]
	})
	var err error
	if w.x509, err = workloadapi.NewX509Source(ctx, client, pick); err != nil {
		return fmt.Errorf("X509Source: %w", err)
	}
	defer w.x509.Close()
	if w.jwt, err = workloadapi.NewJWTSource(ctx, client); err != nil {
		return fmt.Errorf("JWTSource: %w", err)
	}
	defer w.jwt.Close()
	return w.run(ctx, peers)
}

func (w *witness) run(ctx context.Context, peers []string) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer listener.Close()
	address := listener.Addr().String()
	w.say(map[string]any{"listening": address})
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go w.feelLag(ctx)
	go w.serve(listener)
	var clients sync.WaitGroup
	for _, peer := range append(peers, address) {
		clients.Add(1)
		go func() {
			defer clients.Done()
			for ctx.Err() == nil {
				w.converse(peer)
				time.Sleep(pause)
			}
		}()
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	stop()
	clients.Wait()
	w.conclude()
	return nil
}

// feelLag notices when this process does not get to run.
func (w *witness) feelLag(ctx context.Context) {
	for ctx.Err() == nil {
		before := time.Now()
		time.Sleep(tick)
		lag := time.Since(before) - tick
		w.mu.Lock()
		w.lag = max(lag, w.lag*9/10)
		w.longestLag = max(lag, w.longestLag)
		w.mu.Unlock()
	}
}

func (w *witness) serve(listener net.Listener) {
	for {
		connection, err := listener.Accept()
		if err != nil {
			return
		}
		go w.answer(connection)
	}
}

func (w *witness) answer(tcp net.Conn) {
	defer tcp.Close()
	_ = tcp.SetDeadline(time.Now().Add(patience))
	var peer []*x509.Certificate
	config := tlsconfig.MTLSServerConfig(w.x509, w.x509, tlsconfig.AuthorizeMemberOf(w.id.TrustDomain()))
	seen(config, &peer)
	own := w.own()
	connection := tls.Server(tcp, config)
	if err := connection.Handshake(); err != nil {
		w.failed("handshake as server", err, own, peer)
		return
	}
	w.swap(connection, own, peer, false)
}

func (w *witness) converse(address string) {
	tcp, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		w.failed("connect", err, w.own(), nil)
		return
	}
	defer tcp.Close()
	_ = tcp.SetDeadline(time.Now().Add(patience))
	var peer []*x509.Certificate
	config := tlsconfig.MTLSClientConfig(w.x509, w.x509, tlsconfig.AuthorizeMemberOf(w.id.TrustDomain()))
	seen(config, &peer)
	own := w.own()
	connection := tls.Client(tcp, config)
	if err := connection.Handshake(); err != nil {
		w.failed("handshake as client", err, own, peer)
		return
	}
	w.swap(connection, own, peer, true)
}

// seen keeps the peer's chain, whatever becomes of its verification.
func seen(config *tls.Config, peer *[]*x509.Certificate) {
	verify := config.VerifyPeerCertificate
	config.VerifyPeerCertificate = func(raw [][]byte, chains [][]*x509.Certificate) error {
		for _, der := range raw {
			if certificate, err := x509.ParseCertificate(der); err == nil {
				*peer = append(*peer, certificate)
			}
		}
		return verify(raw, chains)
	}
}

// swap shows a token and verifies the peer's. In TLS 1.3 a client learns only here whether it was let in.
func (w *witness) swap(connection *tls.Conn, own *held, peer []*x509.Certificate, first bool) {
	lines := bufio.NewReader(connection)
	if first && !w.show(connection) {
		return
	}
	token, err := lines.ReadString('\n')
	if err != nil {
		w.failed("handshake or swap", err, own, peer)
		return
	}
	if !first && !w.show(connection) {
		return
	}
	w.mu.Lock()
	w.handshakes++
	w.mu.Unlock()
	w.judge(token[:len(token)-1])
}

func (w *witness) show(connection *tls.Conn) bool {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	svid, err := w.jwt.FetchJWTSVID(ctx, jwtsvid.Params{Audience: audience, Subject: w.id})
	if err != nil {
		w.failed("token fetch", err, nil, nil)
		return false
	}
	w.mu.Lock()
	w.leastToken = min(w.leastToken, time.Until(svid.Expiry))
	w.mu.Unlock()
	if _, err := io.WriteString(connection, svid.Marshal()+"\n"); err != nil {
		w.failed("swap", err, nil, nil)
		return false
	}
	return true
}

func (w *witness) judge(token string) {
	_, err := jwtsvid.ParseAndValidate(token, w.jwt, []string{audience})
	if err != nil {
		w.failedToken(token, err)
		return
	}
	w.mu.Lock()
	w.tokens++
	w.keys[keyOf(token)] = true
	w.mu.Unlock()
}

// own notes the SVID that is used now.
func (w *witness) own() *held {
	svid, err := w.x509.GetX509SVID()
	if err != nil {
		return nil
	}
	own := of(svid.Certificates[0])
	w.mu.Lock()
	defer w.mu.Unlock()
	w.svids[own.Serial], w.signers[own.Signer] = true, true
	w.leastSVID = min(w.leastSVID, time.Until(own.NotAfter))
	return own
}

func of(certificate *x509.Certificate) *held {
	return &held{
		Serial:   certificate.SerialNumber.Text(16),
		Signer:   hex.EncodeToString(certificate.AuthorityKeyId),
		NotAfter: certificate.NotAfter,
	}
}

func (w *witness) failed(what string, why error, own *held, peer []*x509.Certificate) {
	told := map[string]any{"failed": what, "why": why.Error(), "own": own}
	var ends []time.Time
	if own != nil {
		ends = append(ends, own.NotAfter)
	}
	if len(peer) > 0 {
		told["peer"] = of(peer[0])
		ends = append(ends, peer[0].NotAfter)
	}
	if bundle, err := w.x509.GetX509BundleForTrustDomain(w.id.TrustDomain()); err == nil {
		var authorities []string
		for _, authority := range bundle.X509Authorities() {
			authorities = append(authorities, hex.EncodeToString(authority.SubjectKeyId))
		}
		told["bundle"] = authorities
	}
	w.tell(told, ends...)
}

func (w *witness) failedToken(token string, why error) {
	told := map[string]any{"failed": "token", "why": why.Error(), "key": keyOf(token)}
	var ends []time.Time
	if parsed, err := jwtsvid.ParseInsecure(token, []string{audience}); err == nil {
		told["expires"] = parsed.Expiry
		ends = append(ends, parsed.Expiry)
	}
	if bundle, err := w.jwt.GetJWTBundleForTrustDomain(w.id.TrustDomain()); err == nil {
		var keys []string
		for key := range bundle.JWTAuthorities() {
			keys = append(keys, key)
		}
		told["bundle"] = keys
	}
	w.tell(told, ends...)
}

// tell says a failure, and how much life was left to that of what was shown which ends first.
func (w *witness) tell(told map[string]any, ends ...time.Time) {
	for _, end := range ends {
		left := time.Until(end).Milliseconds()
		if before, ok := told["left_ms"].(int64); !ok || left < before {
			told["left_ms"] = left
		}
	}
	w.mu.Lock()
	w.failures++
	told["lag_ms"] = w.lag.Milliseconds()
	w.mu.Unlock()
	told["at"] = time.Now()
	w.say(told)
}

func (w *witness) conclude() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.say(map[string]any{
		"handshakes": w.handshakes, "tokens": w.tokens, "failures": w.failures,
		"svids": len(w.svids), "signers": len(w.signers), "keys": len(w.keys),
		"least_svid_ms": w.leastSVID.Milliseconds(), "least_token_ms": w.leastToken.Milliseconds(),
		"longest_lag_ms": w.longestLag.Milliseconds(),
	})
}

func (w *witness) say(line any) {
	w.out.Lock()
	defer w.out.Unlock()
	_ = json.NewEncoder(os.Stdout).Encode(line)
}

// keyOf gives the id of the key that the token says it was signed with.
func keyOf(token string) string {
	var header struct {
		KeyID string `json:"kid"`
	}
	encoded, _, _ := strings.Cut(token, ".")
	text, _ := base64.RawURLEncoding.DecodeString(encoded)
	_ = json.Unmarshal(text, &header)
	return header.KeyID
}
