# root: full
# Java's HttpServer and HttpClient, a selector with many channels, datagrams and multicast of java.nio.
set -eu
d=$(mktemp -d); cd "$d"
cat >A.java <<'J'
import com.sun.net.httpserver.*;
import java.net.*; import java.net.http.*; import java.nio.*; import java.nio.channels.*; import java.util.*; import java.util.concurrent.*;
public class A {
  static void must(boolean ok, String what) { if (!ok) { System.out.println("FAIL " + what); System.exit(1); } }
  public static void main(String[] a) throws Exception {
    byte[] body = new byte[3000000]; new Random(7).nextBytes(body);
    HttpServer server = HttpServer.create(new InetSocketAddress(InetAddress.getByName("127.0.0.1"), 0), 0);
    server.setExecutor(Executors.newFixedThreadPool(8));
    server.createContext("/echo", e -> { byte[] got = e.getRequestBody().readAllBytes(); e.sendResponseHeaders(200, got.length == 0 ? -1 : got.length); e.getResponseBody().write(got); e.close(); });
    server.start();
    URI uri = URI.create("http://127.0.0.1:" + server.getAddress().getPort() + "/echo");
    HttpClient client = HttpClient.newBuilder().connectTimeout(Duration10()).build();
    HttpRequest post = HttpRequest.newBuilder(uri).POST(HttpRequest.BodyPublishers.ofByteArray(body)).build();
    must(Arrays.equals(client.send(post, HttpResponse.BodyHandlers.ofByteArray()).body(), body), "echo");
    List<CompletableFuture<HttpResponse<byte[]>>> many = new ArrayList<>();
    HttpRequest small = HttpRequest.newBuilder(uri).POST(HttpRequest.BodyPublishers.ofByteArray("small".getBytes())).build();
    for (int i = 0; i < 100; i++) many.add(client.sendAsync(small, HttpResponse.BodyHandlers.ofByteArray()));
    for (var f : many) must(new String(f.get(30, TimeUnit.SECONDS).body()).equals("small"), "many");
    server.stop(0);

    Selector selector = Selector.open();
    ServerSocketChannel listener = ServerSocketChannel.open().bind(new InetSocketAddress("::1", 0));
    listener.configureBlocking(false); listener.register(selector, SelectionKey.OP_ACCEPT);
    int port = ((InetSocketAddress) listener.getLocalAddress()).getPort();
    List<SocketChannel> clients = new ArrayList<>();
    for (int i = 0; i < 50; i++) { SocketChannel c = SocketChannel.open(new InetSocketAddress("::1", port)); c.write(ByteBuffer.wrap(("n" + i).getBytes())); c.shutdownOutput(); clients.add(c); }
    int ended = 0;
    while (ended < 50) {
      must(selector.select(10000) > 0, "select");
      for (var it = selector.selectedKeys().iterator(); it.hasNext();) {
        SelectionKey key = it.next(); it.remove();
        if (key.isAcceptable()) { SocketChannel c; while ((c = listener.accept()) != null) { c.configureBlocking(false); c.register(selector, SelectionKey.OP_READ); } continue; }
        SocketChannel c = (SocketChannel) key.channel(); ByteBuffer b = ByteBuffer.allocate(100);
        int n = c.read(b); if (n < 0) { c.close(); ended++; } else { b.flip(); c.write(b); }
      }
    }
    for (int i = 0; i < 50; i++) { ByteBuffer b = ByteBuffer.allocate(100); while (clients.get(i).read(b) >= 0); must(new String(b.array(), 0, b.position()).equals("n" + i), "echo of " + i); }
    DatagramChannel receiver = DatagramChannel.open(StandardProtocolFamily.INET).setOption(StandardSocketOptions.SO_REUSEADDR, true).bind(new InetSocketAddress("0.0.0.0", 0));
    NetworkInterface lo = NetworkInterface.getByName("lo");
    must(lo.isLoopback() && lo.isUp(), "lo");
    receiver.join(InetAddress.getByName("239.1.2.3"), lo);
    DatagramChannel sender = DatagramChannel.open(StandardProtocolFamily.INET).setOption(StandardSocketOptions.IP_MULTICAST_IF, lo);
    sender.send(ByteBuffer.wrap("group".getBytes()), new InetSocketAddress("239.1.2.3", ((InetSocketAddress) receiver.getLocalAddress()).getPort()));
    receiver.socket().setSoTimeout(5000);
    DatagramPacket p = new DatagramPacket(new byte[100], 100); receiver.socket().receive(p);
    must(new String(p.getData(), 0, p.getLength()).equals("group"), "multicast");
    System.out.println("all"); System.exit(0);
  }
  static java.time.Duration Duration10() { return java.time.Duration.ofSeconds(10); }
}
J
javac A.java
test "$(timeout 120 java -Xmx256m A)" = all
cd /; rm -r "$d"
