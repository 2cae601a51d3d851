// Package suites names etcd's black-box tests, so that `go mod tidy` keeps what they need.
package suites
