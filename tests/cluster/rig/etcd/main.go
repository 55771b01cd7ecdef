// The store of the API server. Debian's etcd is too old for it: it lacks RequestWatchProgress.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() { etcdmain.Main(os.Args) }
