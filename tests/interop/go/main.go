// A workload as go-spiffe's users write it. It takes the Workload API's address and the SPIFFE ID
// that it must have, uses each part of the client once, and says what failed.
//
//	go-client ENDPOINT SPIFFE_ID
//	go-client ENDPOINT SPIFFE_ID rotate COUNT
//	go-client ENDPOINT SPIFFE_ID witness PEER...
//
// With rotate, it holds an X509Source until that many new SVIDs have come. With witness, it speaks with
// the peers until its input ends.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
)

const audience = "payments"

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Second)
	defer cancel()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) < 2 {
		return errors.New("usage: go-client ENDPOINT SPIFFE_ID [rotate COUNT | witness PEER...]")
	}
	id, err := spiffeid.FromString(args[1])
	if err != nil {
		return err
	}
	if len(args) > 2 && args[2] == "witness" {
		return runWitness(context.WithoutCancel(ctx), args[0], id, args[3:])
	}
	client := workloadapi.WithClientOptions(workloadapi.WithAddr(args[0]))
	x509Source, err := workloadapi.NewX509Source(ctx, client)
	if err != nil {
		return fmt.Errorf("X509Source: %w", err)
	}
	defer x509Source.Close()
	if len(args) == 4 && args[2] == "rotate" {
		count, err := strconv.Atoi(args[3])
		if err != nil {
			return err
		}
		return rotate(ctx, x509Source, count)
	}
	jwtSource, err := workloadapi.NewJWTSource(ctx, client)
	if err != nil {
		return fmt.Errorf("JWTSource: %w", err)
	}
	defer jwtSource.Close()
	steps := []struct {
		name string
		run  func() error
	}{
		{"x509-source", func() error { return checkX509(x509Source, id) }},
		{"mtls", func() error { return checkMTLS(x509Source, id) }},
		{"jwt-source", func() error { return checkJWT(ctx, jwtSource, id) }},
		{"validate", func() error { return checkValidate(ctx, args[0], jwtSource, id) }},
		{"bundles", func() error { return checkBundles(ctx, args[0], id.TrustDomain()) }},
	}
	for _, step := range steps {
		if err := step.run(); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
		fmt.Println("ok", step.name)
	}
	return nil
}

func checkX509(source *workloadapi.X509Source, id spiffeid.ID) error {
	svid, err := source.GetX509SVID()
	if err != nil {
		return err
	}
	if svid.ID != id {
		return fmt.Errorf("the identity is %s", svid.ID)
	}
	verified, _, err := x509svid.Verify(svid.Certificates, source)
	if err != nil {
		return err
	}
	if verified != id {
		return fmt.Errorf("the verified identity is %s", verified)
	}
	return nil
}

func checkMTLS(source *workloadapi.X509Source, id spiffeid.ID) error {
	authorize := tlsconfig.AuthorizeID(id)
	listener, err := tls.Listen("tcp", "127.0.0.1:0", tlsconfig.MTLSServerConfig(source, source, authorize))
	if err != nil {
		return err
	}
	defer listener.Close()
	served := make(chan error, 1)
	go func() {
		connection, err := listener.Accept()
		if err != nil {
			served <- err
			return
		}
		defer connection.Close()
		_, err = connection.Write([]byte("hello"))
		served <- err
	}()
	connection, err := tls.Dial("tcp", listener.Addr().String(), tlsconfig.MTLSClientConfig(source, source, authorize))
	if err != nil {
		return err
	}
	defer connection.Close()
	said, err := io.ReadAll(connection)
	if err != nil {
		return err
	}
	if string(said) != "hello" {
		return fmt.Errorf("the server said %q", said)
	}
	return <-served
}

func checkJWT(ctx context.Context, source *workloadapi.JWTSource, id spiffeid.ID) error {
	svid, err := source.FetchJWTSVID(ctx, jwtsvid.Params{Audience: audience})
	if err != nil {
		return err
	}
	valid, err := jwtsvid.ParseAndValidate(svid.Marshal(), source, []string{audience})
	if err != nil {
		return err
	}
	if valid.ID != id {
		return fmt.Errorf("the identity is %s", valid.ID)
	}
	if _, err := jwtsvid.ParseAndValidate(svid.Marshal(), source, []string{"orders"}); err == nil {
		return errors.New("a token for another audience is valid")
	}
	return nil
}

func checkValidate(ctx context.Context, addr string, source *workloadapi.JWTSource, id spiffeid.ID) error {
	svid, err := source.FetchJWTSVID(ctx, jwtsvid.Params{Audience: audience, Subject: id})
	if err != nil {
		return err
	}
	client, err := workloadapi.New(ctx, workloadapi.WithAddr(addr))
	if err != nil {
		return err
	}
	defer client.Close()
	valid, err := client.ValidateJWTSVID(ctx, svid.Marshal(), audience)
	if err != nil {
		return err
	}
	if valid.ID != id {
		return fmt.Errorf("the identity is %s", valid.ID)
	}
	if _, err := client.ValidateJWTSVID(ctx, svid.Marshal(), "orders"); err == nil {
		return errors.New("a token for another audience is valid")
	}
	return nil
}

func checkBundles(ctx context.Context, addr string, own spiffeid.TrustDomain) error {
	client, err := workloadapi.New(ctx, workloadapi.WithAddr(addr))
	if err != nil {
		return err
	}
	defer client.Close()
	x509Bundles, err := client.FetchX509Bundles(ctx)
	if err != nil {
		return err
	}
	x509Bundle, err := x509Bundles.GetX509BundleForTrustDomain(own)
	if err != nil {
		return err
	}
	if x509Bundle.Empty() {
		return errors.New("no X.509 authorities")
	}
	jwtBundles, err := client.FetchJWTBundles(ctx)
	if err != nil {
		return err
	}
	jwtBundle, err := jwtBundles.GetJWTBundleForTrustDomain(own)
	if err != nil {
		return err
	}
	if jwtBundle.Empty() {
		return errors.New("no JWT authorities")
	}
	return nil
}

// rotate counts new SVIDs, and never holds one that has expired.
func rotate(ctx context.Context, source *workloadapi.X509Source, count int) error {
	serials := map[string]bool{}
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	for len(serials) <= count {
		svid, err := source.GetX509SVID()
		if err != nil {
			return err
		}
		leaf := svid.Certificates[0]
		if now := time.Now(); now.After(leaf.NotAfter) {
			return fmt.Errorf("at %s the source holds an SVID that expired at %s", now, leaf.NotAfter)
		}
		serials[leaf.SerialNumber.String()] = true
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d SVIDs came: %w", len(serials), ctx.Err())
		case <-look.C:
		}
	}
	fmt.Println("ok rotate", len(serials))
	return nil
}
