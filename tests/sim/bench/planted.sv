// Both checkers of ports, alone and not stopping, as cocotb sees them; signals of the register port begin with l_.

`default_nettype none

module planted (
  input wire clk,
  input wire rst,
  output logic [31:0] cycle,  // as the checkers count it
  output wire idle,
  input wire [57:0] ar, aw,
  input wire [35:0] r,
  input wire [36:0] w,
  input wire [2:0] b,
  input wire arvalid, arready, rvalid, rready, awvalid, awready, wvalid, wready, bvalid, bready,
  input wire [7:0] l_ar, l_aw,
  input wire [33:0] l_r,
  input wire [31:0] l_w,
  input wire [1:0] l_b,
  input wire l_arvalid, l_arready, l_rvalid, l_rready, l_awvalid, l_awready, l_wvalid, l_wready, l_bvalid, l_bready
);
  always @(posedge clk) cycle <= cycle + 1;

  axi4_checker #(.BITS(32), .LONGEST_READ(64), .LONGEST_WRITE(16), .STOP(0)) axi4 (.*);

  axi_lite_checker #(.STOP(0)) axi_lite (
    .clk(clk), .rst(rst),
    .ar(l_ar), .arvalid(l_arvalid), .arready(l_arready), .r(l_r), .rvalid(l_rvalid), .rready(l_rready),
    .aw(l_aw), .awvalid(l_awvalid), .awready(l_awready), .w(l_w), .wvalid(l_wvalid), .wready(l_wready),
    .b(l_b), .bvalid(l_bvalid), .bready(l_bready)
  );
endmodule

`default_nettype wire
