# Text files as string constants: $(call texts,a/b.cl) is the object file that defines text_b_cl (declare it as
# extern const char text_b_cl[];).

texts = $(patsubst %,$(BUILD)/obj/text/%.o,$(1))

$(BUILD)/gen/text/%.c: % tools/embed.sh
	@mkdir -p $(@D)
	@tools/embed.sh $< > $@

$(BUILD)/obj/text/%.o: $(BUILD)/gen/text/%.c $(BUILD)/config.mk
	@mkdir -p $(@D)
	$(say)$(CC) $(CFLAGS) -c -o $@ $<
