# root: full
set -eu
d=$(mktemp -d); cd "$d"
cat >A.java <<'J'
import java.util.*; import java.util.concurrent.*; import java.util.stream.*;
public class A {
  public static void main(String[] a) throws Exception {
    ExecutorService pool = Executors.newFixedThreadPool(8);
    List<Future<Long>> all = new ArrayList<>();
    for (int i = 0; i < 64; i++) all.add(pool.submit(() -> { long s = 0; for (int k = 0; k < 20000; k++) s += new byte[1000].length; return s; }));
    long sum = 0; for (Future<Long> f : all) sum += f.get();
    pool.shutdown();
    System.gc();
    long p = IntStream.range(0, 1000000).parallel().filter(x -> x % 3 == 0).count();
    Process proc = new ProcessBuilder("echo", "child").start();
    String line = new String(proc.getInputStream().readAllBytes()).trim();
    System.out.println(sum + " " + p + " " + line);
  }
}
J
javac A.java
test "$(timeout 120 java -Xmx256m A)" = "1280000000 333334 child"
cd /; rm -r "$d"
