/* The small model of a two-tier block pool, for Spin: the cross-check of tests/support/table_toy.py.
   Written from the sentences that describe the toy, not from the table. Give -DN=, -DG=, -DC=.
   The request with index r has 1 + r % 3 tokens; a table is a set of places; the lowest free place is
   granted first; `used` and `left` follow from the tables, so they add no state. */
#define NEW 0
#define WAITING 1
#define RUNNING 2
#define SWAPPED 3
#define OVER 4
#define NEED(t) ((t + 1) / 2)

byte phase[N];
byte tokens[N];
byte table[N];
byte used_gpu, used_cpu;
byte left_gpu = G, left_cpu = C;
hidden byte place, count;

inline grant(r, used, left, n) {
  place = 0; count = n;
  do
  :: count == 0 -> break
  :: count > 0 && (used & (1 << place)) -> place++
  :: else -> used = used | (1 << place); table[r] = table[r] | (1 << place); left--; count--; place++
  od;
  place = 0; count = 0
}
inline give_up_gpu(r) { used_gpu = used_gpu & (255 - table[r]); left_gpu = left_gpu + NEED(tokens[r]); table[r] = 0 }
inline give_up_cpu(r) { used_cpu = used_cpu & (255 - table[r]); left_cpu = left_cpu + NEED(tokens[r]); table[r] = 0 }
inline over(r) { phase[r] = OVER; tokens[r] = 0 }

#define MOVES(r) \
  :: d_step { phase[r] == NEW -> phase[r] = WAITING; tokens[r] = 1 + r % 3 } \
  :: d_step { phase[r] == WAITING && NEED(tokens[r]) <= left_gpu -> grant(r, used_gpu, left_gpu, NEED(tokens[r])); phase[r] = RUNNING } \
  :: d_step { phase[r] == RUNNING && tokens[r] < 6 && tokens[r] % 2 == 1 -> tokens[r]++ } \
  :: d_step { phase[r] == RUNNING && tokens[r] < 6 && tokens[r] % 2 == 0 && left_gpu > 0 -> grant(r, used_gpu, left_gpu, 1); tokens[r]++ } \
  :: d_step { phase[r] == RUNNING && NEED(tokens[r]) <= left_cpu -> give_up_gpu(r); grant(r, used_cpu, left_cpu, NEED(tokens[r])); phase[r] = SWAPPED } \
  :: d_step { phase[r] == SWAPPED && NEED(tokens[r]) <= left_gpu -> give_up_cpu(r); grant(r, used_gpu, left_gpu, NEED(tokens[r])); phase[r] = RUNNING } \
  :: d_step { phase[r] == RUNNING -> give_up_gpu(r); phase[r] = WAITING } \
  :: d_step { phase[r] == RUNNING && tokens[r] == 6 -> give_up_gpu(r); over(r) } \
  :: d_step { phase[r] == WAITING -> over(r) } \
  :: d_step { phase[r] == RUNNING -> give_up_gpu(r); over(r) } \
  :: d_step { phase[r] == SWAPPED -> give_up_cpu(r); over(r) }

active proctype pool() {
end: do
  MOVES(0)
  MOVES(1)
#if N > 2
  MOVES(2)
#endif
#if N > 3
  MOVES(3)
#endif
  od
}
