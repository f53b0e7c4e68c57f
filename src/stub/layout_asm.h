// Constants of the stub's address-space layout and of its control block that assembly needs too.
// layout.h asserts that they agree with the C++ declarations.
#pragma once

#define STUB_TEXT 0x7fff00000000
#define STUB_VDSO 0x7fff10000000
#define STUB_THUNKS 0x7fff20000000
#define STUB_AREAS 0x7fff40000000
#define STUB_WINDOW_SIZE 0x40000000
#define STUB_AREA_SIZE 0x40000

#define AREA_STACK_TOP 0x1000

#define CONTROL_TURN 0
#define CONTROL_SELF 8
#define CONTROL_STACK_TOP 16
#define CONTROL_EVENT 24
#define CONTROL_FRAME 28
#define CONTROL_INTERRUPTED 32
#define CONTROL_ALTSTACK 72
#define CONTROL_FACTS 96
#define CONTROL_REGS 1152

// Control::regs by index.
#define STUB_REG_RAX 0
#define STUB_REG_RDI 1
#define STUB_REG_RSI 2
#define STUB_REG_RDX 3
#define STUB_REG_R10 4
#define STUB_REG_R8 5
#define STUB_REG_R9 6
#define STUB_REG_RBX 7
#define STUB_REG_RBP 8
#define STUB_REG_R12 9
#define STUB_REG_R13 10
#define STUB_REG_R14 11
#define STUB_REG_R15 12
#define STUB_REG_RSP 13
#define STUB_REG_RIP 14
#define STUB_REG_FLAGS 15

#define EVENT_READY 1000
#define EVENT_TRAMPOLINE 1001
