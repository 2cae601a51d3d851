// Drives etcd's own Go client against a cluster: put, get, txn, lease, keep-alive, watch, member list.
//
// Usage: clientv3 ENDPOINT...
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

const key = "interop/greeting"

func main() {
	client, err := clientv3.New(clientv3.Config{
		Endpoints:   os.Args[1:],
		DialTimeout: 5 * time.Second,
	})
	check("connect", err)
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()

	put, err := client.Put(ctx, key, "hello")
	check("put", err)
	get, err := client.Get(ctx, key)
	check("get", err)
	expect("get", string(get.Kvs[0].Value), "hello")
	expect("mod revision", get.Kvs[0].ModRevision, put.Header.Revision)

	txn, err := client.Txn(ctx).
		If(clientv3.Compare(clientv3.ModRevision(key), "=", put.Header.Revision)).
		Then(clientv3.OpPut(key, "changed"), clientv3.OpGet("interop/", clientv3.WithPrefix())).
		Else(clientv3.OpGet(key)).
		Commit()
	check("txn", err)
	expect("txn succeeded", txn.Succeeded, true)
	expect("get in txn", string(txn.Responses[1].GetResponseRange().Kvs[0].Value), "changed")

	watching, stop := context.WithCancel(clientv3.WithRequireLeader(ctx))
	changes := client.Watch(watching, "interop/", clientv3.WithPrefix(),
		clientv3.WithRev(put.Header.Revision), clientv3.WithPrevKV())
	var values []string
	for response := range changes {
		check("watch", response.Err())
		for _, event := range response.Events {
			values = append(values, string(event.Kv.Value))
		}
		if len(values) >= 2 {
			break
		}
	}
	stop()
	expect("watched", fmt.Sprint(values), "[hello changed]")

	lease, err := client.Grant(ctx, 60)
	check("grant", err)
	_, err = client.Put(ctx, "interop/lease", "x", clientv3.WithLease(lease.ID))
	check("put with lease", err)
	alive, err := client.KeepAliveOnce(ctx, lease.ID)
	check("keep alive", err)
	expect("ttl", alive.TTL, int64(60))
	_, err = client.Revoke(ctx, lease.ID)
	check("revoke", err)
	gone, err := client.Get(ctx, "interop/lease")
	check("get after revoke", err)
	expect("keys after revoke", gone.Count, int64(0))

	deleted, err := client.Delete(ctx, "interop/", clientv3.WithPrefix())
	check("delete", err)
	expect("deleted", deleted.Deleted, int64(1))
	members, err := client.MemberList(ctx)
	check("member list", err)
	expect("members", len(members.Members), len(os.Args)-1)
	fmt.Println("etcd's Go client is content")
}

func check(step string, err error) {
	if err != nil {
		log.Fatalf("%s: %v", step, err)
	}
}

func expect[T comparable](what string, got, want T) {
	if got != want {
		log.Fatalf("%s: got %v, want %v", what, got, want)
	}
}
