# root: full
# Go's net/http: servers and clients with TLS and HTTP/2, deadlines, many at once, hijacked and half-closed connections, UDP.
set -eu
d=$(mktemp -d); cd "$d"; export HOME=$d GO111MODULE=off
cat >a.go <<'G'
package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"time"
)

func must(ok bool, what string) {
	if !ok {
		fmt.Println("FAIL", what)
		os.Exit(1)
	}
}

func main() {
	body := make([]byte, 3000000)
	rand.Read(body)
	mux := http.NewServeMux()
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) })
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("/proto", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Proto) })
	plain := httptest.NewServer(mux)
	secure := httptest.NewUnstartedServer(mux)
	secure.EnableHTTP2 = true
	secure.StartTLS()
	for _, s := range []*httptest.Server{plain, secure} {
		r, err := s.Client().Post(s.URL+"/echo", "application/octet-stream", bytes.NewReader(body))
		must(err == nil, "post")
		got, _ := io.ReadAll(r.Body)
		r.Body.Close()
		must(bytes.Equal(got, body), "echo")
	}
	r, err := secure.Client().Get(secure.URL + "/proto")
	must(err == nil, "get")
	proto, _ := io.ReadAll(r.Body)
	must(string(proto) == "HTTP/2.0", "http 2")
	var wait sync.WaitGroup
	for i := 0; i < 200; i++ {
		wait.Add(1)
		go func() {
			defer wait.Done()
			r, err := plain.Client().Get(plain.URL + "/proto")
			must(err == nil, "many")
			io.Copy(io.Discard, r.Body)
			r.Body.Close()
		}()
	}
	wait.Wait()
	context, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	request, _ := http.NewRequestWithContext(context, "GET", plain.URL+"/slow", nil)
	_, err = plain.Client().Do(request)
	must(err != nil && context.Err() != nil, "deadline")

	listener, err := net.Listen("tcp", "[::]:0") // both families
	must(err == nil, "listen")
	port := listener.Addr().(*net.TCPAddr).Port
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go func() { io.Copy(c, c); c.(*net.TCPConn).CloseWrite() }()
		}
	}()
	for _, host := range []string{"127.0.0.1", "::1"} {
		c, err := net.Dial("tcp", net.JoinHostPort(host, fmt.Sprint(port)))
		must(err == nil, "dial "+host)
		go func() { c.Write(body); c.(*net.TCPConn).CloseWrite() }()
		got, err := io.ReadAll(c)
		must(err == nil && bytes.Equal(got, body), "half close "+host)
		c.SetReadDeadline(time.Now().Add(-time.Second))
		c.Close()
	}
	listener.Close()
	_, err = net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), time.Second)
	must(err != nil, "refused")
	a, _ := net.ListenPacket("udp", "127.0.0.1:0")
	b, _ := net.Dial("udp", a.LocalAddr().String())
	b.Write([]byte("datagram"))
	buffer := make([]byte, 100)
	a.SetReadDeadline(time.Now().Add(5 * time.Second))
	n, _, err := a.ReadFrom(buffer)
	must(err == nil && string(buffer[:n]) == "datagram", "udp")
	plain.Close()
	secure.Close()
	fmt.Println("all")
}
G
go build -o a a.go
test "$(timeout 60 ./a)" = all
cd /; rm -rf "$d"
