// Exits with status 0: the program that measurements of exec run.
int main(void) { return 0; }
