//go:build tools

// Package tools names the S3 store that the cluster runs, so that go.mod pins what it needs.
package tools

import _ "github.com/minio/minio"
