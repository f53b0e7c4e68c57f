# root: network
# nginx, Apache and haproxy as servers, curl and wget as clients: both address families, TLS, keep-alive, ranges, uploads.
set -eu
d=$(mktemp -d); chmod 755 "$d"; cd "$d"
mkdir www; head -c 5000000 /dev/urandom >www/file; echo hello >www/index.html; chmod -R a+rX www
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout key.pem -out cert.pem -days 2 \
  -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1 2>/dev/null
cat cert.pem key.pem >both.pem
same() { cmp "$1" www/file; rm "$1"; }
wait_for() { for _ in $(seq 200); do curl -s -o /dev/null "$1" && return; sleep 0.05; done; echo "$1 does not answer" >&2; return 1; }

cat >nginx.conf <<N
worker_processes 2; daemon off; pid $d/nginx.pid; error_log $d/nginx.log;
events { worker_connections 512; }
http {
  access_log off; client_body_temp_path $d/body; proxy_temp_path $d/proxy; fastcgi_temp_path $d/f; uwsgi_temp_path $d/u; scgi_temp_path $d/s;
  sendfile on; tcp_nopush on; keepalive_timeout 30; client_max_body_size 20m;
  server { listen 127.0.0.1:8101; listen [::1]:8101 ipv6only=on; root $d/www;
    location /slow { limit_rate 4m; alias $d/www/file; }
    location /through { proxy_pass http://127.0.0.1:8102/file; } }
  server { listen 127.0.0.1:8443 ssl; ssl_certificate $d/cert.pem; ssl_certificate_key $d/key.pem; root $d/www; }
}
N
nginx -c "$d/nginx.conf" & nginx=$!
cat >apache.conf <<A
ServerRoot $d
ServerName localhost
PidFile $d/apache.pid
ErrorLog $d/apache.log
Listen 127.0.0.1:8102
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
DocumentRoot $d/www
A
apache2 -d "$d" -f "$d/apache.conf" -DFOREGROUND & apache=$!
cat >haproxy.cfg <<H
defaults
  mode http
  timeout connect 5s
  timeout client 20s
  timeout server 20s
frontend plain
  bind 127.0.0.1:8103
  bind [::1]:8103
  default_backend web
frontend tls
  bind 127.0.0.1:8444 ssl crt $d/both.pem
  default_backend web
backend web
  balance roundrobin
  server nginx 127.0.0.1:8101 check
  server apache 127.0.0.1:8102 check
H
haproxy -f "$d/haproxy.cfg" -db >haproxy.log 2>&1 & haproxy=$!
for url in http://127.0.0.1:8101/ http://127.0.0.1:8102/ http://127.0.0.1:8103/; do wait_for $url; done

for url in http://127.0.0.1:8101 http://[::1]:8101 http://127.0.0.1:8102 http://127.0.0.1:8103 http://[::1]:8103; do
  test "$(curl -gsS $url/index.html)" = hello
  curl -gsS -o got $url/file; same got
  wget -q -O got $url/file; same got
  test "$(curl -gs -o /dev/null -w '%{http_code}' $url/nosuch)" = 404
done
for url in https://localhost:8443 https://127.0.0.1:8444; do
  curl -sS --cacert cert.pem -o got $url/file; same got
  wget -q --ca-certificate=cert.pem -O got $url/file; same got
done
curl -sS -o got http://127.0.0.1:8101/slow; same got
curl -sS -o got http://127.0.0.1:8101/through; same got
# One connection, several requests; a range; many at once.
test "$(curl -sS -w '%{num_connects}\n' http://127.0.0.1:8101/ http://127.0.0.1:8101/ -o /dev/null -o /dev/null | tr '\n' ' ')" = "1 0 "
curl -sS -r 1000-1999 http://127.0.0.1:8101/file | cmp - <(tail -c +1001 www/file | head -c 1000)
for n in $(seq 12); do curl -sS -o "many$n" http://127.0.0.1:8103/file & many="${many:-} $!"; done
for p in $many; do wait "$p"; done
for n in $(seq 12); do same "many$n"; done
wrk -t 2 -c 50 -d 2s http://127.0.0.1:8101/index.html >wrk.log; grep -q 'Requests/sec' wrk.log
if grep -E 'Socket errors|Non-2xx' wrk.log; then exit 1; fi
# Reload while it serves: new workers take the sockets over.
curl -sS -o got http://127.0.0.1:8101/slow & transfer=$!
nginx -c "$d/nginx.conf" -s reload; sleep 0.2
test "$(curl -sS http://127.0.0.1:8101/index.html)" = hello; wait $transfer; same got
test "$(curl -s -o /dev/null -w '%{http_code}' --max-time 5 http://127.0.0.1:8199/)" = 000
kill -QUIT $nginx; wait $nginx
kill -TERM $apache; wait $apache || true
kill -TERM $haproxy; wait $haproxy || true
cd /; rm -r "$d"
