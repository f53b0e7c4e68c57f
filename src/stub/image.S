// The linked stub as bytes of the sentry.
  .section .rodata
  .balign 64
  .globl cofferdam_stub_image, cofferdam_stub_image_end
cofferdam_stub_image:
  .incbin STUB_BINARY
cofferdam_stub_image_end:
  .section .note.GNU-stack, "", @progbits
