// Verifies the signatures of an image with cosign's own packages: a second implementation for the tests.
// Usage: cosigncheck PUBLIC_KEY.pem REGISTRY/NAME@DIGEST; reaches the registry of the reference and nobody else.
package main

import (
	"context"
	"crypto"
	"fmt"
	"os"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/sigstore/cosign/v2/pkg/cosign"
	ociremote "github.com/sigstore/cosign/v2/pkg/oci/remote"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
)

func main() {
	if len(os.Args) != 3 {
		fail("usage: cosigncheck PUBLIC_KEY.pem REFERENCE", nil)
	}
	pem, err := os.ReadFile(os.Args[1])
	fail("cannot read the key", err)
	key, err := cryptoutils.UnmarshalPEMToPublicKey(pem)
	fail("not a public key", err)
	verifier, err := signature.LoadVerifier(key, crypto.SHA256)
	fail("not a usable key", err)
	reference, err := name.ParseReference(os.Args[2], name.Insecure)
	fail("not a reference", err)

	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	checked, _, err := cosign.VerifyImageSignatures(ctx, reference, &cosign.CheckOpts{
		RegistryClientOpts: []ociremote.Option{ociremote.WithRemoteOptions(
			remote.WithContext(ctx), remote.WithAuth(authn.FromConfig(authn.AuthConfig{
				Username: os.Getenv("REGISTRY_USER"), Password: os.Getenv("REGISTRY_PASSWORD"),
			})))},
		SigVerifier:   verifier,
		ClaimVerifier: cosign.SimpleClaimVerifier,
		// Signed with a key of one's own: there is no public log and no certificate.
		IgnoreTlog: true,
		IgnoreSCT:  true,
	})
	fail("refused", err)
	for _, one := range checked {
		payload, err := one.Payload()
		fail("no payload", err)
		fmt.Println(string(payload))
	}
}

func fail(what string, err error) {
	if err == nil && what != "" && len(os.Args) == 3 {
		return
	}
	fmt.Fprintln(os.Stderr, what, err)
	os.Exit(1)
}
