# gcc: one program from one file, run; and a build of Lua by make -j2, which then computes.
set -eu
d=$(mktemp -d); cd "$d"
printf '#include <stdio.h>\nint main(void) { puts("compiled"); return 0; }\n' >a.c
gcc -O2 -o a a.c; test "$(./a)" = compiled
gcc -static -o b a.c; test "$(./b)" = compiled
cp -r /usr/src/lua "$d/lua"; cd lua
make -s -j2 linux >log 2>&1 || { tail -20 log; exit 1; }
test "$(src/lua -e 'local s = 0; for i = 1, 1000000 do s = s + i end; print(s)')" = 500000500000
cd /; rm -r "$d"
