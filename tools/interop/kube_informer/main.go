// An informer of client-go over 10,000 objects, whose connections are cut and whose past is compacted.
//
// Usage: kube_informer API_SERVER_URL COMPACT_COMMAND...
// The command is run with a revision as its last argument. Prints what was seen; exits with 1 and
// says what was missed, repeated or out of order.
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

const (
	objects   = 10_000
	writers   = 16
	namespace = "informer"
	changes   = 3_000 // of each phase; more than the API server keeps in memory for one resource
	cuts      = 5
)

// proxy carries the informer's connections, and can cut them.
type proxy struct {
	target   string
	listener net.Listener
	mutex    sync.Mutex
	open     map[net.Conn]bool
	refusing atomic.Bool
}

func newProxy(target string) *proxy {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	p := &proxy{target: target, listener: listener, open: map[net.Conn]bool{}}
	go p.serve()
	return p
}

func (p *proxy) serve() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.target)
		if err != nil || p.refusing.Load() {
			client.Close()
			continue
		}
		p.mutex.Lock()
		p.open[client], p.open[server] = true, true
		p.mutex.Unlock()
		go p.carry(client, server)
		go p.carry(server, client)
	}
}

func (p *proxy) carry(to, from net.Conn) {
	io.Copy(to, from)
	to.Close()
	from.Close()
}

func (p *proxy) cut() {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	for conn := range p.open {
		conn.Close()
		delete(p.open, conn)
	}
}

// record is what handlers saw of each object: versions in order, and how often each kind of event.
type record struct {
	mutex    sync.Mutex
	last     map[string]uint64
	adds     int
	updates  int
	deletes  int
	problems []string
}

func version(obj *corev1.ConfigMap) uint64 {
	number, err := strconv.ParseUint(obj.ResourceVersion, 10, 64)
	check(err)
	return number
}

func (r *record) saw(obj *corev1.ConfigMap, what string) {
	seen := version(obj)
	if before := r.last[obj.Name]; seen <= before {
		r.problems = append(r.problems, fmt.Sprintf("%s of %s at %d after %d", what, obj.Name, seen, before))
	}
	r.last[obj.Name] = seen
}

func (r *record) handlers() cache.ResourceEventHandlerFuncs {
	return cache.ResourceEventHandlerFuncs{
		AddFunc: func(obj any) {
			r.mutex.Lock()
			defer r.mutex.Unlock()
			r.adds++
			r.saw(obj.(*corev1.ConfigMap), "add")
		},
		UpdateFunc: func(old, obj any) {
			r.mutex.Lock()
			defer r.mutex.Unlock()
			if old.(*corev1.ConfigMap).ResourceVersion == obj.(*corev1.ConfigMap).ResourceVersion {
				return // a relist tells what is known already
			}
			r.updates++
			r.saw(obj.(*corev1.ConfigMap), "update")
		},
		DeleteFunc: func(obj any) {
			r.mutex.Lock()
			defer r.mutex.Unlock()
			r.deletes++
		},
	}
}

func (r *record) counts() (int, int, int) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return r.adds, r.updates, r.deletes
}

func main() {
	if len(os.Args) < 3 {
		fail("usage: kube_informer URL COMMAND...")
	}
	server := os.Args[1]
	address, err := url.Parse(server)
	check(err)
	direct := clientset(server)
	ctx := context.Background()
	_, err = direct.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{
		ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{})
	check(err)
	began := time.Now()
	inParallel(objects, func(i int) { create(direct, i) })
	fmt.Printf("created %d objects in %.1f s\n", objects, time.Since(began).Seconds())

	way := newProxy(address.Host)
	seen := &record{last: map[string]uint64{}}
	factory := informers.NewSharedInformerFactoryWithOptions(
		clientset("http://"+way.listener.Addr().String()), 0, informers.WithNamespace(namespace))
	informer := factory.Core().V1().ConfigMaps().Informer()
	_, err = informer.AddEventHandler(seen.handlers())
	check(err)
	stop := make(chan struct{})
	defer close(stop)
	began = time.Now()
	factory.Start(stop)
	factory.WaitForCacheSync(stop)
	await("all objects", func() bool { adds, _, _ := seen.counts(); return adds == objects })
	fmt.Printf("the informer has them after %.1f s\n", time.Since(began).Seconds())

	// Connections are cut while others write: each change is seen exactly once, in order.
	var wrote atomic.Int64
	done := make(chan struct{})
	go func() {
		for range cuts {
			goal := wrote.Load() + changes/(cuts+1)
			for wrote.Load() < goal {
				time.Sleep(10 * time.Millisecond)
			}
			way.cut()
		}
		close(done)
	}()
	inParallel(changes, func(i int) { update(direct, i, "first"); wrote.Add(1) })
	<-done
	await("every update", func() bool { _, updates, _ := seen.counts(); return updates == changes })
	settle(seen, changes, "updates while connections were cut")

	// Nobody is connected while others write and the store forgets: the informer lists again.
	way.refusing.Store(true)
	way.cut()
	inParallel(changes, func(i int) { update(direct, i, "second") })
	inParallel(changes/10, func(i int) { remove(direct, objects-1-i) })
	compact(direct)
	way.refusing.Store(false)
	await("the deletions", func() bool { _, _, deletes := seen.counts(); return deletes == changes/10 })
	await("the state of the server", func() bool { return len(missing(direct, informer)) == 0 })
	settle(seen, 2*changes, "updates after the past was compacted")

	adds, updates, deletes := seen.counts()
	if adds != objects {
		fail(fmt.Sprintf("%d adds of %d objects", adds, objects))
	}
	if len(seen.problems) > 0 {
		fail(fmt.Sprintf("%d out of order, first: %s", len(seen.problems), seen.problems[0]))
	}
	fmt.Printf("%d adds, %d updates, %d deletes, %d cuts: nothing missed, nothing repeated\n",
		adds, updates, deletes, cuts+1)
}

// settle gives what should not come some time to come.
func settle(seen *record, wanted int, what string) {
	time.Sleep(2 * time.Second)
	if _, updates, _ := seen.counts(); updates != wanted {
		fail(fmt.Sprintf("%d %s, %d expected", updates, what, wanted))
	}
}

func missing(direct kubernetes.Interface, informer cache.SharedIndexInformer) []string {
	list, err := direct.CoreV1().ConfigMaps(namespace).List(context.Background(), metav1.ListOptions{})
	check(err)
	wrong := []string{}
	for i := range list.Items {
		item := &list.Items[i]
		found, exists, _ := informer.GetStore().GetByKey(namespace + "/" + item.Name)
		if !exists || found.(*corev1.ConfigMap).ResourceVersion != item.ResourceVersion {
			wrong = append(wrong, item.Name)
		}
	}
	if len(informer.GetStore().ListKeys()) != len(list.Items) {
		wrong = append(wrong, "the number of objects")
	}
	return wrong
}

func compact(direct kubernetes.Interface) {
	list, err := direct.CoreV1().ConfigMaps(namespace).List(context.Background(), metav1.ListOptions{Limit: 1})
	check(err)
	command := exec.Command(os.Args[2], append(os.Args[3:], list.ResourceVersion)...)
	output, err := command.CombinedOutput()
	if err != nil {
		fail(fmt.Sprintf("%s: %s", err, output))
	}
}

func clientset(server string) kubernetes.Interface {
	client, err := kubernetes.NewForConfig(&rest.Config{Host: server, QPS: -1})
	check(err)
	return client
}

func inParallel(count int, do func(int)) {
	var group sync.WaitGroup
	for writer := range writers {
		group.Add(1)
		go func() {
			defer group.Done()
			for i := writer; i < count; i += writers {
				do(i)
			}
		}()
	}
	group.Wait()
}

func name(i int) string { return fmt.Sprintf("object-%05d", i) }

func create(client kubernetes.Interface, i int) {
	_, err := client.CoreV1().ConfigMaps(namespace).Create(context.Background(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: name(i)},
		Data:       map[string]string{"number": strconv.Itoa(i)},
	}, metav1.CreateOptions{})
	check(err)
}

func update(client kubernetes.Interface, i int, round string) {
	_, err := client.CoreV1().ConfigMaps(namespace).Update(context.Background(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: name(i)},
		Data:       map[string]string{"number": strconv.Itoa(i), "round": round},
	}, metav1.UpdateOptions{})
	check(err)
}

func remove(client kubernetes.Interface, i int) {
	check(client.CoreV1().ConfigMaps(namespace).Delete(
		context.Background(), name(i), metav1.DeleteOptions{}))
}

func await(what string, found func() bool) {
	deadline := time.Now().Add(3 * time.Minute)
	for !found() {
		if time.Now().After(deadline) {
			fail("waited too long for " + what)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func check(err error) {
	if err != nil {
		fail(err.Error())
	}
}

func fail(why string) {
	fmt.Println("FAILED:", why)
	os.Exit(1)
}
