// Command coredns is CoreDNS with the few plugins that one node needs.
//
// Nothing here forwards: a name outside the cluster is answered with NXDOMAIN.
package main

import (
	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/loadbalance"
	_ "github.com/coredns/coredns/plugin/ready"
	_ "github.com/coredns/coredns/plugin/template"

	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"
)

func main() {
	// A query passes the plugins in this order.
	dnsserver.Directives = []string{"bind", "errors", "ready", "cache", "loadbalance", "template", "kubernetes"}
	coremain.Run()
}
