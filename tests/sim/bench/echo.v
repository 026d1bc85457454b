// Answers each byte with two: itself, and the low byte of the cycle in which it was taken; busy for three cycles in between.
module simulated(
    input clk, input rst,
    input serial_sink_valid, output serial_sink_ready, input [7:0] serial_sink_data,
    output serial_source_valid, input serial_source_ready, output [7:0] serial_source_data
);
    reg [15:0] cycle;
    reg [2:0] state;
    reg [7:0] data, stamp;
    assign serial_sink_ready = state == 0;
    assign serial_source_valid = state == 4 || state == 5;
    assign serial_source_data = state == 4 ? data : stamp;
    always @(posedge clk) begin
        cycle <= rst ? 16'd0 : cycle + 16'd1;
        if (rst) state <= 0;
        else if (state == 0) begin
            if (serial_sink_valid) begin
                state <= 1;
                data <= serial_sink_data;
                stamp <= cycle[7:0];
            end
        end else if (state < 4) state <= state + 1;
        else if (serial_source_ready) state <= state == 4 ? 5 : 0;
    end
endmodule
