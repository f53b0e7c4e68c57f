# root: full
set -eu
d=$(mktemp -d); cd "$d"; export HOME=$d GOFLAGS=-mod=mod GO111MODULE=off
cat >a.go <<'G'
package main
import ("fmt"; "os/exec"; "sync")
func main() {
  var wg sync.WaitGroup; var mu sync.Mutex; total := 0
  for i := 0; i < 1000; i++ { wg.Add(1); go func() { defer wg.Done(); mu.Lock(); total++; mu.Unlock() }() }
  wg.Wait()
  out, err := exec.Command("echo", "child").Output()
  fmt.Print(total, " ", string(out), err, "\n")
}
G
test "$(go run a.go)" = "$(printf '1000 child\n<nil>')"
go build -o a a.go; ./a >/dev/null
cd /; rm -rf "$d"
